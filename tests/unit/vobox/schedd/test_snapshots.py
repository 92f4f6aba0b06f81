"""What the stream forgets was recorded again before: a ledger made from nothing is the same."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.schedd_parts import (
    Events,
    ScheddHarness,
    describe_job,
    dump,
    let_days_pass,
    logged,
    read_all_jobs,
)
from tests.unit.vobox.schedd.test_rebuild import History
from thyme.broker import Retention
from thyme.errors import MessageTooLarge
from thyme.protocol import codec
from thyme.protocol.events import HoldReason, Marker, Message, Snapshot, StoredMessage
from thyme.protocol.hold_codes import HoldReasonCode
from thyme.protocol.job import JobId, SandboxFile, Task
from vobox.classad.ad import Ad
from vobox.jobs.job import Job, encode_state
from vobox.schedd import snapshots

DAY = 86400.0


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[ScheddHarness]:
    made = ScheddHarness(tmp_path, lease=300.0)
    made.broker.time = made.wall  # type: ignore[method-assign]
    yield made
    made.close()


def recorded_anew(bench: ScheddHarness, job: JobId) -> int:
    return sum(isinstance(m, Snapshot) and m.job == job for m in bench.broker.messages())


def test_months_of_quiet_and_an_empty_disk_give_the_same_ledger(
    bench: ScheddHarness, tmp_path: Path
) -> None:
    history = History(bench, tmp_path / "home")
    history.play()
    bench.mark(77)
    let_days_pass(bench, 25)
    lived = dump(bench.ledger)
    assert len(read_all_jobs(bench.ledger)) == 12, "the history is promised for 30 days"
    files, stream = history.files(), len(bench.broker.stream)

    bench.restart(wiped=True)

    assert dump(bench.ledger) == lived
    assert bench.ledger.read_meta("next_cluster", "1") == "77"
    assert (history.files(), len(bench.broker.stream)) == (files, stream)


def test_a_job_that_the_history_has_forgotten_does_not_come_back(bench: ScheddHarness) -> None:
    e = Events(now=bench.wall())
    bench.submit(e.submit())
    bench.record(e.removed())
    let_days_pass(bench, 31)
    assert recorded_anew(bench, e.job) > 0, "the stream still tells of it"
    assert read_all_jobs(bench.ledger) == {}
    bench.restart(wiped=True)
    assert read_all_jobs(bench.ledger) == {}


def test_a_job_of_before_can_be_run_and_its_output_is_delivered(
    bench: ScheddHarness, tmp_path: Path
) -> None:
    task = Task("/bin/sh", files=(SandboxFile("input", b"x" * 3000),))
    e = Events(task=task, attributes={"Iwd": str(tmp_path), "Out": "out"})
    bench.submit(e.submit())
    bench.record(e.held())
    let_days_pass(bench, 100)
    bench.restart(wiped=True)
    assert describe_job(bench.job()).startswith("held")

    bench.record(e.released())

    delivery = bench.transport.take("pool")
    again = bench.transport.take("pool")
    bodies = [codec.decode(each.body) for each in (delivery, again) if each is not None]
    assert [(m.attempt, m.task) for m in bodies if m.kind == "submit"][-1] == (1, task)  # type: ignore[attr-defined]
    bench.record(e.started("w1", 1), e.finished("w1", 1, stdout=b"result"))
    assert describe_job(bench.job()) == "completed, left the queue"
    assert (tmp_path / "out").read_bytes() == b"result"


def test_a_result_that_could_not_be_delivered_is_recorded_anew(
    bench: ScheddHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "PART_BYTES", 100)
    (tmp_path / "out").mkdir()
    e = Events(attributes={"Iwd": str(tmp_path), "Out": "out"})
    bench.submit(e.submit())
    bench.record(e.started(), e.finished(stdout=bytes(range(256)) * 5))
    assert bench.job().ad["HoldReasonCode"] == "12"
    let_days_pass(bench, 30)
    bench.restart(wiped=True)
    (tmp_path / "out").rmdir()
    bench.record(e.released())
    assert (tmp_path / "out").read_bytes() == bytes(range(256)) * 5


def test_user_log_lines_that_wait_for_their_file_are_recorded_anew(
    bench: ScheddHarness, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    e = Events(attributes={"UserLog": str(log)})
    bench.submit(e.submit())
    lines = [f"0{n} (038.000.000) 11/22 13:25:13 \udce9\n...\n" for n in (12, 13)]
    for line in lines:
        bench.ledger.add_log(e.job, line)
    let_days_pass(bench, 25)
    assert logged(log) == ["000 38.0"]
    bench.restart(wiped=True)
    written = log.read_bytes().partition(b"...\n")[2]
    assert written == "".join(lines).encode("utf-8", "surrogateescape")


def test_a_snapshot_that_an_event_has_overtaken_is_made_again(
    bench: ScheddHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    e = Events()
    bench.submit(e.submit())
    bench.record(e.started())
    record = bench.transport.record

    def overtaken(bodies: Sequence[bytes]) -> None:
        if any(isinstance(codec.decode(body), Snapshot) for body in bodies):
            monkeypatch.undo()
            record([codec.encode(e.held())])  # condor_hold
        record(bodies)

    monkeypatch.setattr(bench.transport, "record", overtaken)
    bench.clock.now += 200
    bench.wall.now += 4 * DAY
    bench.end_leases()
    assert bench.kinds().count("snapshot") == 1
    place = next(n for n, m in enumerate(bench.broker.messages()) if isinstance(m, StoredMessage))
    bench.clock.now += 61
    bench.end_leases()
    assert bench.kinds().count("snapshot") == 2
    lived = dump(bench.ledger)
    bench.broker.trim(place)  # the snapshot of before, then, and the held event not

    bench.restart(wiped=True)

    assert describe_job(bench.job()).startswith("held on w1")
    assert dump(bench.ledger) == lived


def test_a_job_is_recorded_anew_once_in_half_of_the_retention(bench: ScheddHarness) -> None:
    bench.submit(Events().submit())
    bench.record(Events().held())
    let_days_pass(bench, 21)
    assert recorded_anew(bench, JobId(38, 0)) in (1, 2), "of those of the last seven days"
    let_days_pass(bench, 70)
    assert recorded_anew(bench, JobId(38, 0)) in (1, 2)


def test_records_of_others_push_out_none_of_ours(bench: ScheddHarness) -> None:
    """The stream is full of another schedd's records: what it keeps is bytes, not days."""
    bench.broker.retention = Retention(7 * DAY, 100_000)
    bench.submit(Events().submit())
    bench.restart()  # the retention is asked for at the start
    for _ in range(300):
        bench.broker.record([codec.encode(Marker("other" + "x" * 200, "t" * 200, 1))])
        bench.clock.now += 61
        bench.settle()
        bench.end_leases()
        while sum(len(record.body) for record in bench.broker.stream) > 100_000:
            bench.broker.trim(1)
    assert bench.kinds()[:1] != ["submit"]
    lived = dump(bench.ledger)

    bench.restart(wiped=True)

    assert dump(bench.ledger) == lived
    assert describe_job(bench.job()) == "idle with message"


@pytest.mark.parametrize("restarted", [True, False])
def test_what_the_stream_has_forgotten_is_recorded_again(
    bench: ScheddHarness, restarted: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The operator's policy was shorter than the schedd knew."""
    bench.submit(Events().submit())
    bench.broker.record([codec.encode(Marker("other", "t", 1))])
    bench.settle()
    bench.end_leases()
    bench.broker.trim(1)
    if restarted:
        bench.restart()
    bench.clock.now += 61
    bench.wall.now += 360
    bench.end_leases()
    bench.clock.now += 61
    bench.end_leases()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1 and re.match(
        r"the event stream has kept only [0-9.e-]+ MB and 0\.1 h of its records, less than half "
        r"of what it was declared with \(perhaps a policy of the broker\): jobs are recorded again "
        r"accordingly$",
        said[0],
    )
    lived = dump(bench.ledger)
    bench.restart(wiped=True)
    assert dump(bench.ledger) == lived and bench.kinds()[:2] == ["stored", "snapshot"]


@pytest.mark.parametrize("forgotten", [1, 2, 3, 4])
def test_a_snapshot_whose_messages_the_stream_has_forgotten_is_completed_by_the_next(
    bench: ScheddHarness, monkeypatch: pytest.MonkeyPatch, forgotten: int
) -> None:
    monkeypatch.setattr(snapshots, "PART_BYTES", 400)
    bench.submit(Events(task=Task("/bin/sh", arguments=("x" * 300,))).submit())
    for _ in range(2):
        bench.wall.now += 4 * DAY
        bench.clock.now += 61
        bench.end_leases()
    messages = bench.broker.messages()
    stored = [n for n, m in enumerate(messages) if isinstance(m, StoredMessage)]
    assert bench.kinds()[1:] == [*["stored"] * 4, "snapshot"] * 2
    assert bench.job().recorded == bench.broker.stream[stored[4]].offset
    bench.broker.trim(stored[0] + forgotten)
    lived = dump(bench.ledger)
    bench.restart(wiped=True)
    assert dump(bench.ledger) == lived


def test_an_output_that_was_written_is_not_brought_back_by_a_snapshot_of_before(
    bench: ScheddHarness, tmp_path: Path
) -> None:
    e = Events(attributes={"Iwd": str(tmp_path), "Out": "out"})
    hold = HoldReason(HoldReasonCode.JOB_OUT_OF_RESOURCES, 0, "too much memory")
    bench.submit(e.submit())
    bench.record(e.started(), e.finished(code=None, stdout=b"some", hold=hold))
    assert (tmp_path / "out").read_bytes() == b"some"
    result = codec.encode(e.finished(stdout=b"some"))
    told = Snapshot(e.schedd, e.job, e.now, "pool", 0, 0, {}, encode_state(bench.job()))
    stored = StoredMessage(e.schedd, e.job, e.now, "output", 0, result)
    bench.broker.record([codec.encode(stored), codec.encode(told)])
    (tmp_path / "out").unlink()
    bench.restart()
    assert list(tmp_path.glob("out")) == []


def test_a_message_whose_beginning_the_stream_has_forgotten_is_not_taken_for_whole(
    bench: ScheddHarness,
) -> None:
    e = Events()
    state = encode_state(Job(e.job, 0, 0, "pool", Ad(), 1))
    bench.broker.record(
        [
            codec.encode(StoredMessage(e.schedd, e.job, e.now, "task", 100, b"the rest")),
            codec.encode(Snapshot(e.schedd, e.job, e.now, "pool", 0, 0, {}, state)),
        ]
    )
    bench.restart(wiped=True)
    assert describe_job(bench.job()) == "idle with message"
    assert bench.ledger.list_bodies(e.job) == []


def test_what_is_left_of_a_snapshot_without_its_end_is_deleted(bench: ScheddHarness) -> None:
    e = Events()
    part = StoredMessage(e.schedd, e.job, e.now, "task", 0, b"half")
    bench.transport.record([codec.encode(part)])
    bench.restart(wiped=True)
    assert bench.ledger.list_bodies(e.job) == []


def test_a_snapshot_that_makes_no_sense_is_passed_over(bench: ScheddHarness) -> None:
    e = Events()
    for state in ("", "[]", "{}", '{"status": "x"}'):
        bench.record(Snapshot(e.schedd, e.job, e.now, "pool", 0, 0, {}, state))
    assert read_all_jobs(bench.ledger) == {}
    assert bench.state.stream.unreadable == 4


def test_a_job_that_cannot_be_recorded_again_does_not_keep_the_others_from_it(
    bench: ScheddHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    large, small = (Events(JobId(number, 0)) for number in (1, 2))
    bench.submit(large.submit(), small.submit())
    encode = codec.encode

    def refuse_large(message: Message) -> bytes:
        if isinstance(message, Snapshot) and message.job == large.job:
            raise MessageTooLarge("it would have 17000000 bytes")
        return encode(message)

    monkeypatch.setattr(codec, "encode", refuse_large)
    bench.wall.now += 4 * DAY
    bench.clock.now += 61
    bench.end_leases()

    assert caplog.messages == ["job 1.0 cannot be recorded again: it would have 17000000 bytes"]
    assert (recorded_anew(bench, large.job), recorded_anew(bench, small.job)) == (0, 1)


def test_an_event_of_a_job_that_nobody_knows_is_said_and_makes_no_job(
    bench: ScheddHarness, caplog: pytest.LogCaptureFixture
) -> None:
    bench.record(Events().finished())
    assert caplog.messages == ["finished of job 38.0, which the stream does not know (1 so far)"]
    assert read_all_jobs(bench.ledger) == {}
