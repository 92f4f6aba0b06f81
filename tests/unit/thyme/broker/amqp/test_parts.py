"""The parts of the AMQP transport that need no broker: topology, refusals."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thyme.broker import Retention, routing_keys
from thyme.broker.amqp import errors
from thyme.broker.amqp.dead_letters import get_reason
from thyme.broker.amqp.topology import (
    DEAD,
    EXCHANGE,
    STREAM,
    WORK,
    build_topology,
    make_dead_key,
    make_idle_key,
    make_inbox,
    make_job_queue_name,
    make_stream_queue,
    make_submit_key,
    parse_retention,
    unquote_pool,
)
from thyme.broker.amqp.url import BrokerAddress
from thyme.errors import BadInvocation, BrokerRefused, BrokerUnreachable

ADDRESS = BrokerAddress("broker", 5672, "site", "worker", "secret")


# --- topology -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "seconds", "size"),
    [
        (dict(make_stream_queue().arguments), 604800, 20e9),
        ({"x-max-age": "36h"}, 129600, math.inf),
        ({"x-max-age": "90s", "x-max-length-bytes": 500}, 90, 500),
        ({"x-max-age": "1M"}, 2592000, math.inf),
        ({}, math.inf, math.inf),
    ],
)
def test_the_retention_of_a_stream_is_what_its_arguments_say(
    arguments: dict[str, str | int], seconds: float, size: float
) -> None:
    assert parse_retention(arguments) == Retention(seconds, size)


def bound(exchange: str, queue: str) -> set[str]:
    return {
        one.key
        for one in build_topology(["p"]).bindings
        if (one.exchange, one.queue) == (exchange, queue)
    }


def test_what_workers_may_say_reaches_neither_a_job_queue_nor_another_s_events() -> None:
    assert bound(WORK, "thyme.jobs.p") == set()
    assert bound(WORK, STREAM) == {"event.finished", "event.evicted", "dead.#"}
    assert bound(WORK, DEAD) == {"dead.#"}


def test_a_submission_goes_to_its_queue_and_to_the_stream() -> None:
    assert bound(EXCHANGE, "thyme.jobs.p") == {"submit.p"}
    assert bound(EXCHANGE, STREAM) == {"submit.#", "event.#", "dead.#"}


def test_all_that_lasts_is_durable_and_of_a_kind_that_every_supported_release_has() -> None:
    made = build_topology(["p"])

    assert {queue.name: queue.arguments["x-queue-type"] for queue in made.queues} == {
        "thyme.dead": "quorum",
        "thyme.events": "stream",
        "thyme.jobs.p": "quorum",
    }
    assert all(queue.durable and not queue.exclusive for queue in made.queues)
    assert all(one.durable and one.type == "topic" for one in made.exchanges)


def test_an_inbox_ends_with_its_connection_and_belongs_to_the_right_exchange() -> None:
    schedd, worker, other = (
        make_inbox("thyme.schedd.a"),
        make_inbox("thyme.worker.n.1-f"),
        make_inbox("x"),
    )

    assert (schedd.exchange, schedd.key) == (WORK, "schedd.a")
    assert (worker.exchange, worker.key) == (EXCHANGE, "worker.n.1-f")
    assert (other.exchange, other.key, other.queue.name) == (EXCHANGE, "inbox.x", "thyme.inbox.x")
    for one in (schedd, worker, other):
        assert one.queue.exclusive and not one.queue.durable


@given(st.text(min_size=1, max_size=20))
def test_no_pool_s_name_is_a_pattern_and_each_keeps_its_own(name: str) -> None:
    for key in (
        make_submit_key(name),
        make_dead_key(name),
        make_idle_key(name),
        make_job_queue_name(name),
    ):
        assert "*" not in key and "#" not in key
    assert unquote_pool(routing_keys.parse_dead_pool(make_dead_key(name))) == name


def test_a_pool_with_a_plain_name_has_a_plain_queue() -> None:
    assert make_job_queue_name("alien_jobs") == "thyme.jobs.alien_jobs"
    assert make_submit_key("grid-2.long") == "submit.grid-2.long"


def test_a_name_too_long_for_the_broker_is_refused() -> None:
    with pytest.raises(BadInvocation, match="too long for RabbitMQ"):
        build_topology(["p" * 250])
    with pytest.raises(BadInvocation, match="too long for RabbitMQ"):
        make_inbox("thyme.worker." + "é" * 130)


# --- keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "kind", "pool"),
    [
        ("submit.alien_jobs", "submit", ""),
        ("event.finished", "finished", ""),
        ("dead.alien_jobs", "", "alien_jobs"),
        ("", "", ""),
        ("other", "", ""),
    ],
)
def test_a_key_gives_away_its_kind(key: str, kind: str, pool: str) -> None:
    assert routing_keys.parse_kind(key) == kind
    assert routing_keys.parse_dead_pool(key) == pool


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "text", "error", "said"),
    [
        (
            403,
            "ACCESS_REFUSED - access to queue 'q' in vhost 'site' refused for user 'worker'",
            BrokerRefused,
            "user 'worker' has no permission for queue 'q' in vhost 'site'",
        ),
        (404, "NOT_FOUND - no queue 'q' in vhost 'site'", BrokerRefused, "there is no queue 'q'"),
        (
            404,
            "NOT_FOUND - home node 'r@h' of durable queue 'q' in vhost '/' is down or inaccessible",
            BrokerUnreachable,
            "a queue's node is not there",
        ),
        (320, "CONNECTION_FORCED - broker forced connection closure", BrokerUnreachable, "ended"),
        (541, "INTERNAL_ERROR", BrokerUnreachable, "INTERNAL_ERROR"),
        (
            530,
            "NOT_ALLOWED - vhost site not found",
            BrokerRefused,
            "it has no vhost 'site': rabbitmqctl add_vhost makes one",
        ),
        (
            530,
            "NOT_ALLOWED - access to vhost 'site' refused for user 'worker'",
            BrokerRefused,
            "user 'worker' may not use vhost 'site'",
        ),
        (
            405,
            "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost 'site'.",
            BrokerRefused,
            "another living process already answers as 'q'",
        ),
        (
            406,
            "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost 'site': "
            "received the value 'quorum' of type 'longstr' but current is none",
            BrokerRefused,
            "queue 'q' exists with another x-queue-type: none instead of 'quorum'",
        ),
        (
            406,
            "PRECONDITION_FAILED - message size 99 is larger than configured max size 9",
            BrokerRefused,
            "the message is larger than it takes",
        ),
        (501, "FRAME_ERROR - what", BrokerRefused, "it said 501 FRAME_ERROR - what"),
    ],
)
def test_each_refusal_says_what_and_where(
    code: int, text: str, error: type[Exception], said: str
) -> None:
    made = errors.translate_close(ADDRESS, code, text)

    assert type(made) is error
    assert str(made).startswith("broker amqp://broker:5672: ")
    assert said in str(made)
    assert "secret" not in str(made)


@pytest.mark.parametrize(
    ("theirs", "found"),
    [
        ("the value '7D' of type 'longstr'", ("x", "longstr", "7D")),
        ("the value '20' of type 'signedint'", ("x", "signedint", "20")),
        ("none", ("x", "", "")),
    ],
)
def test_a_differing_argument_is_parsed_from_the_broker_s_text(
    theirs: str, found: tuple[str, str, str]
) -> None:
    text = f"PRECONDITION_FAILED - inequivalent arg 'x' for queue 'q' in vhost '/': received the \
value '1' of type 'long' but current is {theirs}"

    assert errors.parse_other_argument(text) == found
    assert errors.parse_other_argument("PRECONDITION_FAILED - what else") is None


def test_a_dead_letter_s_reason_is_the_worker_s_or_the_broker_s() -> None:
    assert get_reason({"x-thyme-reason": "garbage", "x-first-death-reason": "expired"}) == "garbage"
    assert "delivered more than 20 times" in get_reason({"x-first-death-reason": "delivery_limit"})
    assert get_reason({}) == "put aside by the broker: it does not say why"
