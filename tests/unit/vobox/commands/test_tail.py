"""condor_tail: what a running job has written, through a worker that answers by mail."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.schedd_parts import JOB, LIFE, SCHEDD, Events, ScheddHarness, job_after
from thyme.broker import Mail
from thyme.protocol import codec
from thyme.protocol.events import expect_kind
from thyme.protocol.job import JobId
from thyme.protocol.mail import Peek, Peeked
from vobox.commands import tail
from vobox.commands.command_line import EarlyExit
from vobox.commands.peek import Peeker
from vobox.jobs.job import Job
from vobox.rpc.types import Answer, CommandRefused
from vobox.schedd.session import Session

ALICE = 1001
RUNNING = job_after(Events(uid=ALICE).submit(), Events(uid=ALICE).started())


class Worker:
    """Answers from files in memory; ``job`` is what the ledger says each time it is asked."""

    def __init__(self, **files: bytes) -> None:
        self.files = {name.replace("OUT", tail.STDOUT): data for name, data in files.items()}
        self.job: Job | None = RUNNING
        self.asked: list[tuple[str, int, int]] = []
        self.naps: list[Callable[[], object]] = []

    def ask(self, job_id: JobId, question: Callable[[Job], Peek]) -> Peeked:
        peek = question(tail.check_job(self.job, job_id, ALICE, "alice"))
        self.asked.append((peek.name, peek.offset, peek.limit))
        data = self.files.get(peek.name)
        if data is None:
            return Peeked(SCHEDD, JOB, 0, peek.name, 0, 0, b"", f"no file {peek.name}", life=LIFE)
        start = max(0, len(data) - peek.limit) if peek.offset < 0 else peek.offset
        part = data[start : start + peek.limit]
        return Peeked(SCHEDD, JOB, 0, peek.name, start, len(data), part, "", life=LIFE)

    def sleep(self, _seconds: float) -> None:
        assert self.naps, "nothing more is to happen, and still it waits"
        self.naps.pop(0)()

    def run(self, *argv: str) -> Answer:
        """All parts of the answer in one."""
        answer = tail.answer(argv, SCHEDD, self.ask, self.sleep)
        if answer.more is None:
            return answer
        parts = list(answer.more)
        out, err = ("".join(getattr(part, name) for part in parts) for name in ("stdout", "stderr"))
        return Answer(out, err, parts[-1].code if parts else 0)


def test_the_end_of_stdout_is_shown() -> None:
    worker = Worker(OUT=b"x" * 5000 + b"end\n")
    assert worker.run("38.0") == Answer("x" * 1020 + "end\n")
    assert worker.asked == [(tail.STDOUT, -1, 1024)]


def test_files_and_stderr_are_asked_for_by_name() -> None:
    worker = Worker(OUT=b"out", _condor_stderr=b"err", log=b"log")
    assert worker.run("-stderr", "38.0") == Answer("err")
    assert worker.run("38.0", "log") == Answer("outlog")
    assert worker.run("-no-stdout", "-maxbytes", "2", "38.0", "log") == Answer("og")
    assert worker.run("-no-stdout", "-maxbytes", f"{2:020}", "38.0", "log") == Answer("og")


def test_what_is_no_utf8_comes_out_as_it_is() -> None:
    said = Worker(OUT=b"caf\xe9").run("38.0")
    assert said.stdout.encode("utf-8", "surrogateescape") == b"caf\xe9"


def test_a_following_tail_shows_what_is_added_and_ends_with_the_job() -> None:
    worker = Worker(OUT=b"one\n")
    worker.naps = [
        lambda: worker.files.update({tail.STDOUT: b"one\ntwo\n"}),
        lambda: None,
        lambda: worker.files.update({tail.STDOUT: b"one\ntwo\nthree\n"}),
        lambda: setattr(worker, "job", None),
    ]
    assert worker.run("-f", "38.0") == Answer("one\ntwo\nthree\n")
    assert [offset for _name, offset, _limit in worker.asked] == [-1, 4, 8, 8]


def test_a_retrying_tail_waits_for_the_job_to_run() -> None:
    worker = Worker(OUT=b"hello\n")
    worker.job = job_after(Events(uid=ALICE).submit())
    worker.naps = [lambda: None, lambda: setattr(worker, "job", RUNNING)]
    assert worker.run("-auto-retry", "38.0") == Answer("hello\n")


def job_of(uid: int) -> Job:
    e = Events(uid=uid)
    return job_after(e.submit(), e.started())


def held() -> Job:
    e = Events(uid=ALICE)
    return job_after(e.submit(), e.held(text="wait"))


@pytest.mark.parametrize(
    ("job", "text"),
    [
        (None, "No such job: 38.0\n"),
        (job_after(Events(uid=ALICE).submit()), "Job 38.0 is not running.\n"),
        (held(), "Job 38.0 is held: wait\n"),
        (job_of(1), "alice is not authorized for access to the files of job 38.0\n"),
    ],
)
def test_a_job_whose_files_cannot_be_read_is_an_error(job: Job | None, text: str) -> None:
    worker = Worker()
    worker.job = job
    assert worker.run("38.0") == Answer("", text, 1)


def test_what_the_worker_cannot_read_is_an_error_after_what_it_could() -> None:
    said = Worker(OUT=b"out").run("38.0", "nope")
    assert said == Answer("out", "Failed to peek at file from starter: no file nope\n", 1)


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        ([], "Job ID not specified.\n" + tail.USAGE),
        (["38.x"], "Invalid Job ID: 38.x\n" + tail.USAGE),
        (["-no-stdout", "38.0"], "No file transfer specified.\n\n" + tail.USAGE),
        (["-maxbytes", "x", "38.0"], "Error: maxbytes (x) is not valid\n\n" + tail.USAGE),
        (["-maxbytes"], "-maxbytes requires an argument.\n\n" + tail.USAGE),
        (["-name", "other", "38.0"], "No such schedd named other in local pool\n"),
        (["-zzz", "38.0"], "Unrecognized option: -zzz\n" + tail.USAGE),
    ],
)
def test_a_wrong_command_line_is_explained(argv: list[str], text: str) -> None:
    with pytest.raises(EarlyExit) as caught:
        tail.parse(argv, SCHEDD)
    assert caught.value.answer.stderr == text


# --- the mail -----------------------------------------------------------------------------------


def test_a_peek_reaches_the_worker_and_its_answer_who_asked(tmp_path: Path) -> None:
    bench = ScheddHarness(tmp_path)
    bench.transport.open_inbox(f"thyme.schedd.{SCHEDD}")
    worker = bench.broker.connect()
    worker.open_inbox("w1")
    answers: list[Peeked] = []
    question = Peek(SCHEDD, JOB, 0, tail.STDOUT, -1, 10, life=LIFE)
    token = bench.mail.ask("w1", question, answers.append)
    mail = worker.receive()
    assert mail is not None and expect_kind(codec.decode(mail.body), Peek) == question
    told = Peeked(SCHEDD, JOB, 0, tail.STDOUT, 0, 3, b"abc", "", life=LIFE)
    for correlation in ("stranger", token, token):
        answer = Mail(codec.encode(told), "", correlation)
        assert worker.send(mail.reply_to, answer)
    bench.mail.answer_claims()
    bench.mail.read_rest()
    assert answers == [told]
    bench.close()


def test_a_worker_that_is_not_there_is_no_answer(tmp_path: Path) -> None:
    bench = ScheddHarness(tmp_path)
    question = Peek(SCHEDD, JOB, 0, tail.STDOUT, -1, 10, life=LIFE)
    assert bench.mail.ask("w1", question, print) == ""
    bench.close()


class Line:
    """A schedd's own thread, as far as ``Peeker`` needs it."""

    def __init__(self, bench: ScheddHarness) -> None:
        self.session = bench.session
        self.down = ""

    def call(self, what: Callable[[Session], object]) -> object:
        if self.down:
            raise CommandRefused(self.down)
        return what(self.session)


def peek(bench: ScheddHarness, line: Line) -> str:
    """Why condor_tail gets nothing."""
    peeker = Peeker(line, bench.ledger, ALICE, "alice")  # type: ignore[arg-type]
    with pytest.raises(tail.CannotPeek) as caught:
        peeker.ask(JOB, lambda job: Peek(SCHEDD, job.id, job.attempt, "x", -1, 10, life=LIFE))
    return str(caught.value)


def test_a_worker_that_does_not_answer_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vobox.commands.peek.TIMEOUT", 0.01)
    bench = ScheddHarness(tmp_path)
    line = Line(bench)
    e = Events(uid=ALICE)
    bench.submit(e.submit())
    bench.record(e.started())
    start = "Failed to peek at file from starter: "
    assert peek(bench, line) == start + "slot1_1@w1 is not there"
    worker = bench.broker.connect()
    worker.open_inbox("w1")
    assert peek(bench, line) == start + "no answer from slot1_1@w1 in 0.01 s"
    assert bench.mail._awaited == {}, "a late answer finds nobody"
    line.down = "the schedd is not ready: no broker; try again"
    assert peek(bench, line) == f"Failed to connect to schedd: {line.down}"
    bench.close()
