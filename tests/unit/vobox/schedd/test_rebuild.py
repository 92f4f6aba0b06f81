"""The ledger is a cache: damaged, old, of another stream or gone, it is made again, the same."""

from pathlib import Path

import pytest

from tests.support.schedd_parts import NOW, Events, Expression, ScheddHarness, logged, read_all_jobs
from thyme.errors import BrokerUnreachable
from thyme.protocol import codec
from thyme.protocol.events import HoldReason, Marker
from thyme.protocol.job import JobId, SandboxFile
from vobox.jobs.job import Job
from vobox.schedd import stream_reader

# --- a wiped spool ------------------------------------------------------------------------------


class History:
    """Jobs with every fate, their files in one directory."""

    def __init__(self, bench: ScheddHarness, directory: Path) -> None:
        self.bench, self.directory = bench, directory
        directory.mkdir(exist_ok=True)
        self.log = directory / "log"
        self.made = 0

    def job(self, **attributes: object) -> Events:
        e = Events(JobId(1 + self.made, 0), now=NOW + 100 * self.made)
        self.made += 1
        e.attributes = {
            "Iwd": str(self.directory),
            "UserLog": str(self.log),
            "Out": f"out.{self.made}",
            **attributes,
        }  # type: ignore[assignment]
        return e

    def play(self) -> None:
        bench = self.bench
        e = self.job()
        bench.submit(e.submit())  # idle
        e = self.job()
        bench.submit(e.submit())
        bench.record(e.started())  # running
        e = self.job()
        bench.submit(e.submit())
        bench.record(e.started())
        bench.record(e.finished(code=3, stdout=b"three\n", files=(SandboxFile("f", b"1"),)))
        e = self.job(LeaveJobInQueue=True)
        bench.submit(e.submit())
        bench.record(e.started())
        bench.record(e.finished(code=None, signal=9, stdout=b"killed\n"))
        e = self.job()
        bench.submit(e.submit())
        bench.record(e.removed())  # removed while idle
        e = self.job()
        bench.submit(e.submit())
        bench.record(e.started(), e.removed(), e.evicted(reason="removed"))
        e = self.job()
        bench.submit(e.submit())
        bench.record(e.started(), e.held(), e.evicted())  # held
        e = self.job()
        bench.submit(e.submit())
        bench.record(e.held(), e.released())  # released: queued as attempt 1
        e = self.job()
        bench.submit(e.submit())
        bench.record(e.started(), e.lost())  # lost: queued as attempt 1
        e = self.job(OnExitHold=Expression("ExitCode =!= 0"), OnExitHoldSubCode=55)
        bench.submit(e.submit())
        bench.record(e.started(), e.finished(code=7, stdout=b"seven\n"))
        e = self.job(Out="/dev/null/out")
        bench.submit(e.submit())
        bench.record(e.started(), e.finished(stdout=b"kept\n"))  # held 12: not deliverable
        e = self.job()
        bench.record(e.recorded())  # submitted on hold

    def files(self) -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in self.directory.iterdir()}


def test_a_wiped_spool_gives_the_same_ledger_outputs_and_log(
    bench: ScheddHarness, tmp_path: Path
) -> None:
    history = History(bench, tmp_path / "home")
    history.play()
    before, files, stream = read_all_jobs(bench.ledger), history.files(), len(bench.broker.stream)
    assert len(before) == history.made == 12

    bench.restart(wiped=True)

    assert read_all_jobs(bench.ledger) == before
    assert history.files() == files
    assert len(bench.broker.stream) == stream, "nothing new was decided"


def test_output_and_log_lost_in_a_crash_before_they_were_written_are_written(
    bench: ScheddHarness, tmp_path: Path
) -> None:
    history = History(bench, tmp_path / "home")
    e = history.job()
    bench.submit(e.submit())
    # the worker reports while there is no schedd, and then the disk is gone
    events = (e.started(), e.finished(stdout=b"late\n"))
    bench.transport.record([codec.encode(event) for event in events])
    history.log.unlink()

    bench.restart(wiped=True)

    assert (tmp_path / "home/out.1").read_bytes() == b"late\n"
    assert logged(history.log) == ["000 1.0", "001 1.0", "006 1.0", "005 1.0"]
    assert bench.job(JobId(1, 0)).status == 4


def test_log_lines_written_before_a_crash_are_not_written_again(
    bench: ScheddHarness, tmp_path: Path
) -> None:
    history = History(bench, tmp_path / "home")
    e = history.job()
    bench.submit(e.submit())
    bench.record(e.started())
    bench.ledger._db.execute("DELETE FROM meta")  # the disk lost the last writes
    bench.ledger._db.execute("DELETE FROM jobs")
    bench.restart()
    bench.record(e.finished())
    bench.restart(wiped=True)
    assert logged(history.log) == ["000 1.0", "001 1.0", "006 1.0", "005 1.0"]


def test_a_crash_between_the_last_log_line_and_the_word_of_it_doubles_nothing(
    bench: ScheddHarness, tmp_path: Path
) -> None:
    history = History(bench, tmp_path / "home")
    e = history.job()
    bench.submit(e.submit())
    bench.record(e.started())
    bench.transport.record([codec.encode(e.finished(stdout=b"x"))])
    bench.broker.break_at("record")
    with pytest.raises(BrokerUnreachable):
        bench.settle()
    assert logged(history.log)[-1] == "005 1.0"

    bench.transport = bench.broker.connect()
    bench.restart()

    assert logged(history.log) == ["000 1.0", "001 1.0", "006 1.0", "005 1.0"]
    assert bench.job(JobId(1, 0)).status == 4


def test_an_output_that_was_delivered_and_taken_away_does_not_come_back(
    bench: ScheddHarness, tmp_path: Path
) -> None:
    history = History(bench, tmp_path / "home")
    e = history.job()
    bench.submit(e.submit())
    bench.record(e.started(), e.finished(stdout=b"x"))
    for path in (tmp_path / "home").iterdir():
        path.unlink()
    bench.restart(wiped=True)
    assert history.files() == {}


def test_cluster_ids_are_not_used_again_after_a_wipe(bench: ScheddHarness) -> None:
    bench.mark(next_cluster=120)  # a failed submit burns ids too
    bench.submit(Events(JobId(130, 0)).submit())
    bench.restart(wiped=True)
    assert bench.ledger.read_meta("next_cluster", "1") == "131"


def test_the_marks_and_jobs_of_another_schedd_are_not_ours(bench: ScheddHarness) -> None:
    other = Events(schedd="vobox2")
    bench.record(other.submit(), other.started(), Marker("vobox2", "t", 999))
    assert read_all_jobs(bench.ledger) == {}
    assert bench.ledger.read_meta("next_cluster", "1") == "1"


# --- garbage in the stream ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"garbage",
        b'{"thyme": 1, "kind": "finished"}\n',
        b'{"thyme": 99, "kind": "x"}\n',
        b"\xff\n",
    ],
)
def test_records_that_nobody_can_read_are_passed_over_and_counted(
    bench: ScheddHarness, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    bench.submit(Events().submit())
    bench.transport.record([body])
    bench.record(Events().started())
    assert bench.job().status == 2
    assert bench.state.stream.unreadable == 1
    assert "stream record 2 cannot be read and is passed over (1 so far)" in caplog.text


def test_an_end_whose_output_cannot_be_read_ends_nothing(bench: ScheddHarness) -> None:
    e = Events()
    bench.submit(e.submit())
    bench.record(e.started())
    body = codec.encode(e.finished(stdout=b"x" * 5000))
    bench.transport.record([body[:-9] + b"corrupted"])
    bench.settle()
    assert (bench.job().status, bench.state.stream.unreadable) == (2, 1)
    bench.transport.record([body])
    bench.settle()
    assert bench.job().status == 4


def test_a_flood_of_records_that_nobody_can_read_does_not_fill_the_log(
    bench: ScheddHarness, caplog: pytest.LogCaptureFixture
) -> None:
    bench.transport.record([b"x"] * 1000)
    bench.settle()
    assert bench.state.stream.unreadable == 1000
    assert caplog.text.count("cannot be read and is passed over") == 16
    assert "(512 so far)" in caplog.text


def test_a_flood_of_reports_of_jobs_that_nobody_knows_does_not_fill_the_log(
    bench: ScheddHarness, caplog: pytest.LogCaptureFixture
) -> None:
    bench.transport.record([codec.encode(Events().finished())] * 1000)
    bench.settle()
    assert caplog.text.count("which the stream does not know") == 16
    assert "which the stream does not know (512 so far)" in caplog.text


def test_an_ad_that_makes_no_sense_does_not_stop_the_others(bench: ScheddHarness) -> None:
    odd = Events(JobId(1, 0))
    odd.attributes = {
        "UserLog": Expression('"a" + "b"'), "JobBatchName": Expression('strcat("a"'),
        "OnExitHold": Expression("((("), "LeaveJobInQueue": Expression("1 +"),
    }  # fmt: skip
    bench.submit(odd.submit())
    bench.record(odd.started(), odd.finished())
    bench.submit(Events().submit())
    assert bench.job(JobId(1, 0)).status == 4
    assert bench.job().status == 1


def test_a_record_that_cannot_be_applied_is_passed_over(
    bench: ScheddHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = stream_reader.apply

    def stumble(job: Job | None, event: object) -> object:
        if getattr(event, "kind", "") == "held":
            raise RecursionError("too deep")
        return real(job, event)  # type: ignore[arg-type]

    monkeypatch.setattr(stream_reader, "apply", stumble)
    e = Events()
    bench.submit(e.submit())
    bench.record(e.held(), e.started())
    assert bench.job().status == 2
    assert "RecursionError: too deep" in caplog.text


def test_half_a_character_of_a_worker_costs_no_event_and_no_record(
    bench: ScheddHarness, tmp_path: Path
) -> None:
    """The file took neither the event nor those that were written together with it."""
    e = Events()
    e.attributes = {"UserLog": str(tmp_path / "job.log")}
    bench.submit(e.submit())
    hold = HoldReason(13, 2, "a\ud800b \udcff\n...\n005 (1.0.0)")
    bench.record(e.started(), e.finished(code=None, hold=hold))
    before = read_all_jobs(bench.ledger)
    assert (tmp_path / "job.log").read_bytes().count(b"\n...\n") == 6
    assert b"a\\ud800b \xff|...|005 (1.0.0)" in (tmp_path / "job.log").read_bytes()

    bench.restart(wiped=True)
    assert bench.state.stream.unreadable == 0
    assert read_all_jobs(bench.ledger) == before
