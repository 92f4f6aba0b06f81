"""What each user of the broker may do, on a RabbitMQ with the files of compose/rabbitmq."""

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pika
import pytest

from tests.setup.needs import needs
from tests.support.process_site import LiveSite, submit_text
from tests.support.services.certificates import Authority
from tests.support.services.rabbitmq import RabbitServer
from tests.support.waiting import wait_until
from thyme.admin import cli
from thyme.broker import connect
from thyme.broker.lanes import list_queues, parse_bounds
from thyme.broker.users import may_report
from thyme.errors import BrokerRefused

SETTINGS = Path(__file__).parents[3] / "compose" / "rabbitmq"
VHOST = "grid"
JOBS, OTHER = "thyme.jobs.alien_jobs", "thyme.jobs.other"


@dataclass
class Site:
    server: RabbitServer
    directory: Path

    def url(self, user: str) -> str:
        return (self.directory / f"{user}.url").read_text().strip()

    def connect(self, user: str) -> pika.BlockingConnection:
        return pika.BlockingConnection(pika.URLParameters(self.url(user)))


@pytest.fixture(scope="module")
@needs("rabbitmq")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Start a broker that was configured by nothing but thyme-admin and compose/rabbitmq."""
    place = tmp_path_factory.mktemp("broker")
    roles = place / "roles"
    Authority(place / "tls").signed("server", "127.0.0.1", "localhost")
    conf = "\n".join((SETTINGS / name).read_text() for name in ("20-thyme.conf", "30-tls.conf"))
    conf = conf.replace("/etc/rabbitmq/thyme/definitions.json", f"{roles}/definitions.json")
    conf = conf.replace("/etc/rabbitmq/thyme", f"{place}/tls").replace("5671", "{tls_port}")
    server = RabbitServer(place, conf)
    try:
        options = ["--host", f"127.0.0.1:{server.port}", "--vhost", VHOST]
        pools = ["--pool", "alien_jobs", "--pool", "other"]
        assert cli.main(["roles", "--dir", str(roles), *options, *pools]) == 0
        server.up()
        yield Site(server, roles)
    finally:
        server.clean()


@pytest.fixture
def channel(site: Site) -> Iterator[Callable[[str], Any]]:
    """``channel(user)``: a channel of that user's, in confirm mode, on a connection of its own."""
    made = []

    def make(user: str) -> Any:
        made.append(site.connect(user))
        opened = made[-1].channel()
        opened.confirm_delivery()
        return opened

    yield make
    for connection in made:
        if connection.is_open:
            connection.close()


def refused(action: Callable[..., object], *arguments: Any, code: int = 403, **named: Any) -> None:
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as caught:
        action(*arguments, **named)
    assert caught.value.reply_code == code, caught.value


def depth(channel: Callable[[str], Any], queue: str) -> int:
    return int(channel("monitor").queue_declare(queue, passive=True).method.message_count)


def publish(there: Any, exchange: str, key: str, **headers: Any) -> None:
    properties = pika.BasicProperties(delivery_mode=2, headers=headers or None)
    there.basic_publish(exchange, key, b"forged", properties)


def test_there_is_no_user_but_those_that_were_written(site: Site) -> None:
    parameters = pika.ConnectionParameters(
        "127.0.0.1", site.server.port, VHOST, pika.PlainCredentials("guest", "guest")
    )
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        pika.BlockingConnection(parameters)
    users = site.server.ctl("list_users").split("\n")
    assert sorted(line.split("\t")[0] for line in users if "\t" in line) == [
        "monitor", "user", "vobox", "worker", "worker-other",
    ]  # fmt: skip
    assert "administrator" not in "".join(users)


def test_everybody_can_connect_over_tls_too(site: Site) -> None:
    directory = site.directory.parent / "over-tls"
    where = ["--host", f"localhost:{site.server.tls_port}", "--vhost", VHOST, "--tls"]
    ca = str(site.directory.parent / "tls" / "ca.pem")
    assert cli.main(["roles", "--dir", str(directory), *where, "--ca", ca]) == 0
    for user in ("vobox", "worker", "monitor"):
        # this directory has passwords of its own, which the broker was never given
        made = (directory / f"{user}.url").read_text()
        known = site.url(user).split("@")[0].replace("amqp://", "amqps://")
        with contextlib.closing(connect(known + "@" + made.split("@")[1])) as transport:
            assert transport.get_queue_state("alien_jobs").ready == 0
        with pytest.raises(BrokerRefused, match="ACCESS_REFUSED"):
            connect(made)


def test_the_topology_is_there_before_anybody_comes(site: Site) -> None:
    with contextlib.closing(connect(site.url("vobox"))) as vobox:
        vobox.declare_topology(["alien_jobs", "other"])  # raises where anything is otherwise
    with contextlib.closing(connect(site.url("worker"))) as worker:
        worker.declare_topology(["alien_jobs"])  # may make nothing, and finds all


def test_a_job_runs_with_each_user_limited_to_its_role(site: Site, tmp_path: Path) -> None:
    live = LiveSite(tmp_path, lease=60.0)
    try:
        del live.env["THYME_URL"]
        live.env["THYME_URL_FILE"] = str(site.directory / "vobox.url")
        live.start_schedd("--name=roles")
        job = ["executable = /bin/echo", "transfer_executable = false", "arguments = hello"]
        live.ask("condor_submit", stdin=submit_text([*job, f"output = {tmp_path}/out", "queue"]))
        live.env["THYME_URL_FILE"] = str(site.directory / "worker.url")
        live.start_worker("worker", "--timeout=60")
        wait_until(
            lambda: (tmp_path / "out").exists() and not live.ask("condor_q", "-af", "ProcId"),
            "the job's output", timeout=60.0,
            state=lambda: live.ask("condor_q") + (tmp_path / "worker.log").read_text(),
        )  # fmt: skip
        assert (tmp_path / "out").read_text() == "hello\n"
        assert live.running["worker"].wait(60) == 0
    finally:
        left = live.stop()
    assert left == []


# --- the worker -----------------------------------------------------------------------------


@pytest.mark.parametrize("queue", [OTHER, "thyme.events", "thyme.dead"])
def test_a_worker_reads_neither_another_pool_nor_the_stream_nor_the_dead(
    channel: Callable[[str], Any], queue: str
) -> None:
    arguments = {"x-stream-offset": "first"} if queue == "thyme.events" else {}

    def consume() -> None:
        worker = channel("worker")
        worker.basic_qos(prefetch_count=1)
        worker.basic_consume(queue, lambda *_: None, arguments=arguments)

    refused(consume)
    refused(channel("worker").basic_get, queue)
    refused(channel("worker").queue_purge, queue)


@pytest.mark.parametrize(
    ("exchange", "key"),
    [
        ("thyme", "submit.alien_jobs"),
        ("thyme", "event.started"),
        ("thyme.work", "event.started"),
        ("thyme", "worker.somebody"),
        ("thyme.work", "submit.alien_jobs"),
        ("thyme.work", "event.removed"),
        ("thyme", "event.shared"),
        ("thyme.work", "event.shared"),
        ("thyme.work", "dead.other"),
        ("", JOBS),
        ("amq.topic", "x"),
    ],
)
def test_a_worker_neither_submits_nor_speaks_for_the_schedd(
    channel: Callable[[str], Any], exchange: str, key: str
) -> None:
    refused(publish, channel("worker"), exchange, key)


@pytest.mark.parametrize("header", ["CC", "BCC"])
def test_a_worker_does_not_submit_by_a_copy(channel: Callable[[str], Any], header: str) -> None:
    worker = channel("worker")
    # RabbitMQ checks the first key alone: it is what is bound that stops this
    publish(worker, "thyme.work", "event.finished", **{header: ["submit.alien_jobs"]})
    publish(worker, "thyme.work", "event.finished", **{header: ["event.removed"]})
    assert depth(channel, JOBS) == 0


def test_a_worker_does_not_submit_by_what_its_own_queue_throws_away(
    channel: Callable[[str], Any],
) -> None:
    def inbox(exchange: str, key: str) -> Any:
        arguments = {
            "x-dead-letter-exchange": exchange,
            "x-dead-letter-routing-key": key,
            "x-message-ttl": 0,
        }
        worker = channel("worker")
        worker.queue_declare("thyme.worker.trap", exclusive=True, arguments=arguments)
        return worker

    refused(inbox, "thyme", "submit.alien_jobs")
    refused(inbox, "", JOBS)
    worker = inbox("thyme.work", "submit.alien_jobs")
    worker.queue_bind("thyme.worker.trap", "thyme", "worker.trap")
    publish(channel("vobox"), "thyme", "worker.trap")
    wait_until(
        lambda: worker.queue_declare("thyme.worker.trap", passive=True).method.message_count == 0,
        "the trap to throw it away",
    )
    assert depth(channel, JOBS) == 0


def test_a_worker_does_not_submit_through_an_exchange_of_its_own(
    channel: Callable[[str], Any],
) -> None:
    def through(exchange: str) -> Any:
        worker = channel("worker")
        worker.exchange_declare("thyme.worker.trap", "fanout", auto_delete=True)
        worker.exchange_bind(exchange, "thyme.worker.trap")
        return worker

    refused(through, "thyme")
    publish(through("thyme.work"), "thyme.worker.trap", "submit.alien_jobs")
    assert depth(channel, JOBS) == 0

    def alternate() -> None:
        channel("worker").exchange_declare(
            "thyme.worker.other", "fanout", arguments={"alternate-exchange": "thyme"}
        )

    refused(alternate)


def test_no_record_of_a_worker_looks_like_one_of_the_schedd(
    channel: Callable[[str], Any],
) -> None:
    """The keys of what the tests before left in the stream."""
    vobox, keys = channel("vobox"), []
    vobox.basic_qos(prefetch_count=100)
    publish(vobox, "thyme", "event.the-end")
    for method, _properties, _body in vobox.consume(
        "thyme.events", arguments={"x-stream-offset": "first"}, inactivity_timeout=30
    ):
        assert method is not None, keys
        keys.append((method.exchange, method.routing_key))
        vobox.basic_ack(method.delivery_tag)
        if keys[-1] == ("thyme", "event.the-end"):
            break
    from_workers = {key for exchange, key in keys if exchange != "thyme"}
    assert from_workers <= {"event.finished", "event.evicted"}


def test_a_worker_cannot_read_another_inbox(channel: Callable[[str], Any]) -> None:
    other = channel("worker")
    other.queue_declare("thyme.worker.other", exclusive=True)
    other.queue_bind("thyme.worker.other", "thyme", "worker.other")
    refused(channel("worker").basic_consume, "thyme.worker.other", print, code=405)
    refused(channel("worker").basic_get, "thyme.worker.other", code=405)

    for key in ("worker.#", "worker.*", "#", "submit.alien_jobs", "event.finished"):
        worker = channel("worker")
        mine = f"thyme.worker.mine.{key}"
        worker.queue_declare(mine, exclusive=True)
        refused(worker.queue_bind, mine, "thyme", key)
    for exchange in ("thyme.work", "amq.topic"):
        refused(channel("worker").queue_bind, JOBS, exchange, "#")


def test_a_worker_makes_and_deletes_nothing_but_its_inbox(channel: Callable[[str], Any]) -> None:
    for queue in (JOBS, OTHER, "thyme.events", "thyme.dead"):
        refused(channel("worker").queue_delete, queue)
    for exchange in ("thyme", "thyme.work"):
        refused(channel("worker").exchange_delete, exchange)
    for queue in ("mine", "", "thyme.jobs.mine", "thyme.schedd.vobox1"):
        refused(channel("worker").queue_declare, queue, exclusive=True)


def test_a_worker_of_another_pool_takes_its_own_jobs_only(channel: Callable[[str], Any]) -> None:
    assert channel("worker-other").basic_get(OTHER) == (None, None, None)
    refused(channel("worker-other").basic_get, JOBS)


def test_the_stream_names_the_user_of_each_record_and_none_can_lie(
    site: Site, channel: Callable[[str], Any]
) -> None:
    with contextlib.closing(connect(site.url("vobox"))) as vobox:
        vobox.record([b'{"thyme":1,"kind":"marker"}\nthe end'])
        last = -1
        while new := vobox.read(last, 1000):
            last = new[-1].offset
        body = b'{"thyme":1,"kind":"finished"}\nforged'
        with contextlib.closing(connect(site.url("worker"))) as worker:
            worker.record([body])

        # another pool's worker: as itself, without a name, and by ways of its own
        def other(user: str | None, exchange: str = "thyme.work") -> None:
            properties = pika.BasicProperties(delivery_mode=2, user_id=user)
            channel("worker-other").basic_publish(exchange, "event.finished", body, properties)

        other("worker-other")
        other(None)
        refused(other, "worker", code=406)
        refused(other, "vobox", code=406)
        trap = channel("worker-other")
        trap.exchange_declare("thyme.worker.way", "fanout", auto_delete=True)
        trap.exchange_bind("thyme.work", "thyme.worker.way")
        other("worker-other", "thyme.worker.way")
        # a dead letter keeps the user who sent the message
        vobox.submit("other", [b"job"])
        worker_other = channel("worker-other")
        method, _properties, _body = worker_other.basic_get(OTHER)
        worker_other.basic_reject(method.delivery_tag, requeue=False)
        records: list[Any] = []

        def has_dead_letter() -> bool:
            records.extend(vobox.read(records[-1].offset if records else last, 100))
            return any(record.key == "dead.other" for record in records)

        wait_until(has_dead_letter, "the dead letter", state=lambda: records)
    assert [record.user for record in records if record.body == b"job"] == ["vobox", "vobox"]
    records = [record for record in records if record.body == body]
    users = [record.user for record in records]
    assert users == ["worker", "worker-other", "", "worker-other"]
    assert may_report("worker", "alien_jobs")
    assert not any(may_report(user, "alien_jobs") for user in users[1:])


def test_users_and_the_vhost_are_limited(site: Site) -> None:
    limits = json.loads(site.server.ctl("list_user_limits", "--user", "worker", "--formatter=json"))
    assert {"max-connections": 20_000, "max-channels": 80_000}.items() <= _flat(limits).items()
    vhost = json.loads(site.server.ctl("list_vhost_limits", "-p", VHOST, "--formatter=json"))
    assert {"max-connections": 25_000, "max-queues": 25_000}.items() <= _flat(vhost).items()


def _flat(answer: Any) -> dict[str, int]:
    """Return the limits in an answer of rabbitmqctl, whose form differs between versions."""
    found: dict[str, int] = {}
    for each in answer if isinstance(answer, list) else [answer]:
        for name, value in each.items():
            value = json.loads(value) if isinstance(value, str) and value[:1] == "{" else value
            found.update(value if isinstance(value, dict) else {name: value})
    return found


# --- monitor and vobox ------------------------------------------------------------------------


def test_the_monitor_sees_depths_and_touches_nothing(channel: Callable[[str], Any]) -> None:
    for queue in (JOBS, OTHER, "thyme.events", "thyme.dead"):
        assert depth(channel, queue) >= 0
        refused(channel("monitor").basic_get, queue)
        refused(channel("monitor").queue_purge, queue)
    for exchange in ("thyme", "thyme.work", ""):
        refused(publish, channel("monitor"), exchange, "x")
    refused(channel("monitor").queue_declare, "", exclusive=True)


def test_the_operator_looks_as_monitor_and_acts_as_vobox(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("THYME_URL", raising=False)
    monkeypatch.setenv("THYME_URL_FILE", str(site.directory / "monitor.url"))
    assert cli.main(["status", "--pool", "alien_jobs", "--pool", "other", "--json"]) == 0
    queues = json.loads(capsys.readouterr().out)["queues"]
    assert [each["kind"] for each in queues] == ["jobs", "jobs", "dead", "stream"]
    for argv in (["dead"], ["purge", "dead", "--yes"], ["requeue-dead", "--all"]):
        assert cli.main(argv) == 4
        said = capsys.readouterr().err
        assert "ACCESS_REFUSED" in said
        assert said.count("\n") == 1
        assert site.url("monitor").split(":")[2].split("@")[0] not in said
    assert cli.main(["status", "--pool", "mistyped"]) == 4
    assert (
        "there is no queue 'thyme.jobs.mistyped': check the pool's name and the lanes; "
        "`thyme-admin topology` with the same --pool and --lanes makes it"
    ) in capsys.readouterr().err
    monkeypatch.setenv("THYME_URL_FILE", str(site.directory / "vobox.url"))
    for argv in (["topology"], ["dead"], ["purge", "dead", "--yes"], ["requeue-dead", "--all"]):
        assert cli.main(argv) == 0, capsys.readouterr().err


def test_an_unreadable_message_is_dead_lettered_listed_requeued_and_purged(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("THYME_URL_FILE", str(site.directory / "vobox.url"))
    monkeypatch.delenv("THYME_URL", raising=False)
    with contextlib.closing(connect(site.url("vobox"))) as vobox:
        vobox.submit("other", [b"garbage", b"more garbage"])
    assert cli.main(["purge", "other", "--yes"]) == 0
    assert capsys.readouterr().out == (
        "2 messages of other are dead letters; their jobs are held\n"
    )
    assert cli.main(["dead", "--json"]) == 0
    letters = json.loads(capsys.readouterr().out)["dead"]
    assert [(each["pool"], each["job"], each["reason"]) for each in letters] == [
        ("other", "", "put aside by an administrator")
    ] * 2
    assert cli.main(["requeue-dead", letters[0]["id"]]) == 0
    capsys.readouterr()
    assert cli.main(["status", "--pool", "other"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == ["jobs\tother\t1\t0", "dead\t\t1\t0"]
    assert cli.main(["purge", "other", "--yes"]) == 0
    assert cli.main(["purge", "dead", "--yes"]) == 0
    assert capsys.readouterr().out.endswith("2 dead letters are gone\n")


def test_the_vobox_has_all_of_thyme_and_nothing_else(channel: Callable[[str], Any]) -> None:
    vobox = channel("vobox")
    vobox.queue_declare("thyme.schedd.vobox1", exclusive=True)
    vobox.queue_bind("thyme.schedd.vobox1", "thyme.work", "schedd.vobox1")
    refused(publish, channel("vobox"), "", JOBS)
    refused(channel("vobox").queue_declare, "mine")
    refused(channel("vobox").exchange_declare, "mine", "topic")


def test_topology_names_a_pool_that_it_made_and_how_a_mistyped_one_is_deleted(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THYME_URL_FILE", str(site.directory / "vobox.url"))
    command = ["topology", "--pool", "alien_jobs", "--pool", "alien_jbos"]
    assert cli.main(command) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "made queues for alien_jbos; the rest is as it should be (a name that was not meant: "
        "`rabbitmqctl delete_queue thyme.jobs.NAME` on the broker)"
    )
    assert cli.main(command) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "all there, and as it should be"
    site.server.ctl("-p", VHOST, "delete_queue", "thyme.jobs.alien_jbos")
    assert cli.main(["purge", "alien_jbos", "--yes"]) == 4
    assert "there is no queue 'thyme.jobs.alien_jbos'" in capsys.readouterr().err


# --- lanes: the last, as it leaves what none of the tests above does --------------------


def test_workers_take_from_lanes_once_the_definitions_have_them(site: Site, tmp_path: Path) -> None:
    """Give the broker other definitions while it runs, as a site does, and those of before."""
    laned = tmp_path / "roles"
    shutil.copytree(site.directory, laned)
    lane = "alien_jobs.lane.600"
    with contextlib.closing(connect(site.url("vobox"))) as vobox:
        vobox.declare_topology(list_queues("alien_jobs", parse_bounds("10m")))
        vobox.submit(lane, [b"1", b"2"])
        with (
            contextlib.closing(connect(site.url("worker"))) as worker,
            pytest.raises(BrokerRefused, match="has no permission for queue"),
        ):
            worker.take(lane, listen=False)
        assert cli.main(["roles", "--dir", str(laned), "--lanes", "10m"]) == 0
        try:
            site.server.ctl("import_definitions", str(laned / "definitions.json"))
            with contextlib.closing(connect(site.url("worker"))) as worker:
                first = worker.take(lane, listen=False)
                assert first is not None and first.body == b"1"
                worker.ack(first)
                second = worker.take(lane, listen=False)
                assert second is not None
                worker.reject(second, "unreadable")
            (letter,) = vobox.list_dead_letters()
            assert (letter.body, letter.pool, letter.reason) == (b"2", lane, "unreadable")
            with (
                contextlib.closing(connect(site.url("worker-other"))) as other,
                pytest.raises(BrokerRefused, match="has no permission for queue"),
            ):
                other.take(lane, listen=False)
        finally:
            site.server.ctl("import_definitions", str(site.directory / "definitions.json"))
        assert vobox.purge_dead_letters() == 1
