"""One record of many jobs leaves the ledger and the user logs as one record for each of them."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.schedd_parts import (
    NOW,
    SCHEDD,
    Events,
    ScheddHarness,
    dump,
    logged,
    read_all_jobs,
)
from tests.unit.vobox.schedd.test_rebuild_random import rebuild
from thyme.protocol import codec
from thyme.protocol.events import (
    Continued,
    Delivered,
    Edited,
    Held,
    HoldReason,
    JobMessage,
    Message,
    Released,
    Removed,
    SharedEvent,
    Suspended,
    Vacated,
    share_events,
)
from thyme.protocol.job import JobId
from vobox.ledger import write_buffer, writer
from vobox.schedd import stream_reader

ALL = [JobId(1, 0), JobId(1, 1), JobId(1, 2), JobId(2, 0)]
ACTIONS = {
    "hold": lambda job, now: Held(SCHEDD, job, now, HoldReason(1, 7, "by hand")),
    "release": lambda job, now: Released(SCHEDD, job, now, "by hand"),
    "remove": lambda job, now: Removed(SCHEDD, job, now, "by hand", False),
    "force": lambda job, now: Removed(SCHEDD, job, now, "by hand", True),
    "edit": lambda job, now: Edited(SCHEDD, job, now, {"JobPrio": "3", "Tag": '"x"'}),
    "tag": lambda job, now: Edited(SCHEDD, job, now, {"Tag": f'"{now}"', "TAG": '"y"'}),
    "name": lambda job, now: Edited(SCHEDD, job, now, {"JobBatchName": '"y"', "HoldReason": '""'}),
    "suspend": lambda job, now: Suspended(SCHEDD, job, now, "by hand"),
    "continue": lambda job, now: Continued(SCHEDD, job, now, "by hand"),
    "vacate": lambda job, now: Vacated(SCHEDD, job, now, "by hand", False),
    "deliver": lambda job, now: Delivered(SCHEDD, job, now),
}
STEPS = st.one_of(
    st.tuples(
        st.sampled_from([*sorted(ACTIONS), "tag", "tag"]),
        st.lists(st.sampled_from(ALL), min_size=1, max_size=5),
    ),
    st.tuples(st.sampled_from(["started", "finished", "evicted"]), st.sampled_from(ALL)),
)


def submit_all(bench: ScheddHarness, log: Path) -> None:
    for job in ALL:
        # job 1.2 stays in the queue when it is removed
        attributes = {"UserLog": str(log), "LeaveJobInQueue": job == JobId(1, 2)}
        bench.submit(Events(job, attributes=attributes).submit())  # type: ignore[arg-type]


@given(steps=st.lists(STEPS, max_size=12), many=st.integers(1, 3), at_once=st.integers(1, 9))
@settings(max_examples=80, deadline=None)
def test_shared_records_do_what_single_ones_do(
    steps: list[tuple[str, object]], many: int, at_once: int
) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(write_buffer, "MANY", many)
        patch.setattr(writer, "MANY", many)
        log = Path(name) / "log"
        found = []
        for way in ("single", "shared"):
            log.unlink(missing_ok=True)
            (Path(name) / way).mkdir()
            bench = ScheddHarness(Path(name) / way)
            bench.broker.time = bench.wall  # type: ignore[method-assign]
            submit_all(bench, log)
            mails: list[bytes] = []
            bench.broker.answer("w1", lambda mail, mails=mails: mails.append(mail.body))  # type: ignore[misc]
            now = NOW
            for action, which in steps:
                now += 1
                messages: list[Message] = []
                if isinstance(which, JobId):
                    job = bench.ledger.get(which)
                    event = Events(which, now)
                    messages = [getattr(event, action)("w1", job.attempt if job else 0)]
                else:
                    assert isinstance(which, list)
                    messages += [ACTIONS[action](job, now) for job in which]
                if way == "shared":
                    messages = share_events(messages)  # type: ignore[arg-type, assignment]
                bench.record(*messages)
            versions = [bench.job(job).version for job in ALL]
            found.append((read_all_jobs(bench.ledger), versions, log.read_bytes(), mails))
            lived = dump(bench.ledger)
            assert rebuild(bench, at_once, at_once, restarts=False) == lived
            bench.close()
        assert found[0] == found[1]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[ScheddHarness]:
    made = ScheddHarness(tmp_path)
    submit_all(made, tmp_path / "log")
    yield made
    made.close()


def test_a_session_records_what_jobs_share_once(bench: ScheddHarness, tmp_path: Path) -> None:
    records = len(bench.broker.stream)
    events: list[JobMessage] = [ACTIONS["hold"](job, NOW + 5) for job in ALL]
    bench.session.record(events)
    assert len(bench.broker.stream) == records + 1
    assert [bench.job(job).status for job in ALL] == [5, 5, 5, 5]
    assert bench.reader.unread == {}
    assert logged(tmp_path / "log")[-4:] == ["012 1.0", "012 1.1", "012 1.2", "012 2.0"]


def test_results_that_are_written_together_share_a_record(
    bench: ScheddHarness, tmp_path: Path
) -> None:
    for job in ALL:
        bench.record(Events(job).started(f"w{job}"))
    records = len(bench.broker.stream)
    bench.record(*(Events(job).finished(f"w{job}") for job in ALL))
    assert len(bench.broker.stream) == records + len(ALL) + 1
    assert [bench.job(job).status for job in ALL] == [4] * 4
    assert [bench.kinds(job)[-1] for job in ALL] == ["delivered"] * 4
    assert bench.reader.unread == {}
    assert logged(tmp_path / "log")[-4:] == ["005 1.0", "005 1.1", "005 1.2", "005 2.0"]
    lived = dump(bench.ledger)
    assert rebuild(bench, 2, 2, restarts=False) == lived


def test_a_transaction_ends_after_so_many_events_of_shared_records(
    bench: ScheddHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_reader, "READ_BATCH", 6)
    events = [ACTIONS["edit"](job, NOW + 5) for job in ALL]
    shared = SharedEvent(SCHEDD, events[0], tuple(ALL))
    bench.transport.record([codec.encode(shared)] * 3)
    offset = int(bench.ledger.read_meta("offset", ""))
    assert bench.reader.catch_up(replaying=False, max_batches=1)
    assert int(bench.ledger.read_meta("offset", "")) == offset + 2, "4 and 4 events, of 6"
    bench.settle()
    assert int(bench.ledger.read_meta("offset", "")) == offset + 3
    assert bench.job(ALL[0]).version == 1 + 3


def test_attributes_of_many_jobs_are_set_without_reading_the_jobs(
    bench: ScheddHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MANY", 1)
    bench.record(Events(ALL[0]).held(), Events(ALL[3]).removed())
    bench.session.record([ACTIONS["tag"](job, NOW + 5) for job in ALL[:2]])  # changes differ
    read: list[JobId] = []
    with monkeypatch.context() as patch:
        patch.setattr(bench.ledger, "get", lambda job: read.append(job))
        bench.session.record([ACTIONS["tag"](job, NOW + 6) for job in ALL[:3]])
    assert read == []
    assert [bench.job(job).ad.get("tag") for job in ALL] == ['"y"'] * 3 + [None]
    assert [bench.job(job).version for job in ALL] == [4, 3, 2, 2]
    assert bench.reader.unread == {}
    # one that has left the queue is only counted
    bench.session.record([ACTIONS["tag"](job, NOW + 7) for job in ALL])
    assert [bench.job(job).version for job in ALL] == [5, 4, 3, 3]
    assert bench.job(ALL[3]).ad.get("tag") is None


def test_the_workers_of_all_jobs_of_a_shared_record_are_told(bench: ScheddHarness) -> None:
    told: list[str] = []
    for number, job in enumerate(ALL):
        name = f"w{number}"
        bench.broker.answer(name, lambda _mail, name=name: told.append(name))  # type: ignore[misc]
        bench.record(Events(job).started(name))
    bench.record(*share_events([ACTIONS["suspend"](job, NOW + 5) for job in ALL[1:]]))
    assert told == ["w1", "w2", "w3"]
    assert [bench.job(job).status for job in ALL] == [2, 7, 7, 7]


def test_of_a_shared_record_only_the_jobs_that_it_can_be_of_change(bench: ScheddHarness) -> None:
    other = JobId(7, 0)
    events = [ACTIONS["remove"](job, NOW + 5) for job in (ALL[0], other, ALL[1])]
    bench.record(*share_events(events))
    assert [bench.job(job).status for job in ALL] == [3, 3, 1, 1]
    assert bench.ledger.get(other) is None


@pytest.mark.parametrize("action", ["tag", "remove"])
@pytest.mark.parametrize(
    ("key", "user"),
    [("event.finished", "worker-pool"), ("event.shared", "worker-other"), ("event.shared", "")],
)
def test_a_shared_record_of_a_worker_is_not_believed(
    bench: ScheddHarness, monkeypatch: pytest.MonkeyPatch, action: str, key: str, user: str
) -> None:
    monkeypatch.setattr(writer, "MANY", 1)
    shared = share_events([ACTIONS[action](job, NOW + 5) for job in ALL])
    bench.broker.append([codec.encode(each) for each in shared], lambda _body: key, user=user)
    bench.settle()
    assert [(bench.job(job).status, bench.job(job).ad.get("Tag")) for job in ALL] == [(1, None)] * 4
    assert [bench.job(job).version for job in ALL] == [1] * 4
    assert bench.state.stream.forged == (1 if key == "event.finished" else 4)


def test_a_shared_record_of_another_schedd_changes_nothing(bench: ScheddHarness) -> None:
    events = [replace(ACTIONS["remove"](job, NOW + 5), schedd="vobox9") for job in ALL]
    (shared,) = share_events(events)  # type: ignore[arg-type]
    bench.record(shared)
    assert [bench.job(job).status for job in ALL] == [1] * 4
