"""One event of many jobs is one record, and means as much as a record for each of them."""

import json
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.sample_messages import parts, put
from thyme.errors import BadMessage
from thyme.protocol.codec import decode, encode
from thyme.protocol.events import (
    MAX_SHARING,
    Delivered,
    Edited,
    Held,
    HoldReason,
    JobMessage,
    Left,
    Message,
    Released,
    SharedEvent,
    expect_kind,
    share_events,
)
from thyme.protocol.job import JobId

WHY = HoldReason(1, 0, "why")
PROCS = [JobId(12, proc) for proc in range(3)]
EVENTS = st.builds(
    lambda kind, job, time: {
        "held": Held("vobox", job, time, WHY),
        "released": Released("vobox", job, time, "why"),
        "edited": Edited("vobox", job, time, {"A": "1"}),
        "delivered": Delivered("vobox", job, time),
        "left": Left("vobox", job, time),
    }[kind],
    st.sampled_from(["held", "held", "released", "edited", "delivered", "left"]),
    st.builds(JobId, st.integers(1, 2), st.integers(0, 3)),
    st.sampled_from([1.0, 1.0, 2.0]),
)


def expand(messages: Iterable[Message]) -> list[Message]:
    """Return the events of single jobs that these messages stand for."""
    found: list[Message] = []
    for message in messages:
        found += message.list_events() if isinstance(message, SharedEvent) else [message]
    return found


@given(st.lists(EVENTS, max_size=12))
def test_shared_events_stand_for_the_same_events_in_the_same_order(
    events: list[JobMessage],
) -> None:
    shared = share_events(events)
    assert expand(decode(encode(each)) for each in shared) == events
    for one, next_one in zip(shared, shared[1:], strict=False):
        assert len(share_events(expand([one, next_one]))) == 2, "what is alike is together"  # type: ignore[arg-type]


def test_what_differs_or_is_of_one_job_has_a_record_of_its_own() -> None:
    held = [Held("vobox", job, 1.0, WHY) for job in PROCS]
    assert share_events(held) == [SharedEvent("vobox", held[0], tuple(PROCS))]
    assert share_events(held[:1]) == held[:1]
    later = Held("vobox", JobId(12, 3), 2.0, WHY)
    other = Held("vobox", JobId(12, 4), 2.0, HoldReason(1, 1, "why"))
    left = [Left("vobox", job, 2.0) for job in PROCS]
    assert share_events([*held, later, other, *left])[1:] == [later, other, *left]


def test_a_shared_event_names_runs_of_procs_by_their_ends() -> None:
    jobs = (*PROCS, JobId(12, 7), JobId(13, 8), JobId(13, 9), JobId(13, 8))
    header, rest = parts(SharedEvent("vobox", Held("vobox", jobs[0], 1.0, WHY), jobs))
    assert rest == b""
    assert header == {
        "thyme": 1, "kind": "shared", "schedd": "vobox",
        "event": {"kind": "held", "schedd": "vobox", "job": "12.0", "time": 1.0,
                  "hold": [1, 0, "why"]},
        "job_ids": ["12.0-2", "12.7", "13.8-9", "13.8"],
    }  # fmt: skip


def test_a_record_is_of_so_many_jobs_at_most() -> None:
    jobs = [JobId(1, proc) for proc in range(2 * MAX_SHARING + 1)]
    shared = share_events(Released("vobox", job, 1.0, "why") for job in jobs)
    assert [len(encode(each)) < 300 for each in shared] == [True, True, True]
    assert [len(expect_kind(each, SharedEvent).job_ids) for each in shared[:2]] == [1000, 1000]
    assert shared[2] == Released("vobox", jobs[-1], 1.0, "why")


@pytest.mark.parametrize(
    "ids",
    [
        [], ["1.0-1000"], ["1.0-999999999999999999"], ["1.0-999", "2.0"], ["1.5-4"], ["1"],
        ["1.0-"], [" 1.0"], ["1.0\n"], [7], "1.0", None, ["1.0-1-2"], ["1.0000000000000000000"],
    ],
)  # fmt: skip
def test_other_job_ids_are_refused(ids: object) -> None:
    header, _ = parts(SharedEvent("vobox", Held("vobox", JobId(1, 0), 1.0, WHY), (JobId(1, 0),)))
    text = (
        r"^shared: field 'job_ids' should be 1 to 1000 job ids "
        r"\(cluster.proc, or cluster.proc-proc\)$"
    )
    with pytest.raises(BadMessage, match=text):
        decode(put({**header, "job_ids": ids}))


@pytest.mark.parametrize("kind", ["submit", "left", "shared", "started", "", None, 3, ["held"]])
def test_other_events_are_not_shared(kind: object) -> None:
    held = Held("vobox", JobId(1, 0), 1.0, WHY)
    header, _ = parts(SharedEvent("vobox", held, (JobId(1, 0),)))
    event = json.loads(json.dumps(header["event"]))
    text = r"^shared: field 'event' should be an event that jobs can share$"
    with pytest.raises(BadMessage, match=text):
        decode(put({**header, "event": {**event, "kind": kind}}))
    left = Left("vobox", JobId(1, 0), 1.0)
    with pytest.raises(BadMessage, match=text):
        encode(SharedEvent("vobox", left, (JobId(1, 0),)))
