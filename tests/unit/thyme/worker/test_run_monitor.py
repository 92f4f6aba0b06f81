"""What a worker says and hears beside its work, in virtual time: limits, pauses, tails, waiting."""

import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.fake_schedd import FakeSchedd
from tests.unit.thyme.worker.test_worker import POOL, Site, job
from thyme.broker import Mail
from thyme.errors import BrokerUnreachable
from thyme.protocol.codec import decode, encode
from thyme.protocol.events import Evicted, Finished, Message, Submit
from thyme.protocol.mail import Control, Peek, Peeked, Waiting
from thyme.worker import run_monitor
from thyme.worker.peek import MAX_PEEK, answer_peek
from thyme.worker.sandbox import STDERR, STDOUT, Sandbox

# --- time that a job may take ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "code", "kind"),
    [("allowed_job_duration", 46, "job"), ("allowed_execute_duration", 47, "execute")],
)
def test_a_job_over_its_time_is_asked_to_end_and_held(
    site: Site, limit: str, code: int, kind: str
) -> None:
    site.submit(job(seconds=500, kill_signal=2, **{limit: 100.0}))

    assert site.run() == 0

    assert site.signals == ["2 at 100"]
    finished = site.told()[-1]
    assert isinstance(finished, Finished)
    # as in HTCondor: ExitBySignal = true
    assert (finished.exit_code, finished.signal) == (None, 2)
    assert finished.hold is not None
    assert (finished.hold.code, finished.hold.subcode) == (code, 0)
    assert finished.hold.text == f"The job exceeded allowed {kind} duration of 01:40"
    assert finished.usage.user_cpu == 0.5


def test_a_job_in_time_ends_as_it_likes(site: Site) -> None:
    site.submit(job(seconds=99, exit_code=4, allowed_job_duration=100.0))

    site.run()

    finished = site.told()[-1]
    assert isinstance(finished, Finished)
    assert (finished.exit_code, finished.hold) == (4, None)


def test_a_limit_is_kept_while_the_broker_is_away(site: Site) -> None:
    site.submit(job(seconds=500, allowed_execute_duration=100.0))
    site.after(10, lambda: setattr(site.broker, "down", BrokerUnreachable("gone")))
    site.after(250, lambda: setattr(site.broker, "down", None))

    site.run()

    assert site.signals == ["15 at 100"] or site.signals == ["15 at 100.001"]
    assert isinstance(site.told()[-1], Finished)


# --- disk that a job may take ----------------------------------------------------------------


def fill(job: Submit, used: int, **ad: str) -> Submit:
    """Let a job have so many KiB of files, and these attributes."""
    environment = {**job.task.environment, "DISK": str(used)}
    return replace(job, ad={**job.ad, **ad}, task=replace(job.task, environment=environment))


@pytest.mark.parametrize(("used", "asked"), [(3000, "2048"), (2 * 1024 * 1024, "")])
def test_a_job_that_fills_the_nodes_disk_beyond_its_request_is_held(
    site: Site, monkeypatch: pytest.MonkeyPatch, used: int, asked: str
) -> None:
    monkeypatch.setattr(run_monitor, "measure_file_system", lambda _path: (1, 2**30))
    site.submit(fill(job(seconds=500), used, **({"RequestDisk": asked} if asked else {})))

    site.run()

    finished = site.told()[-1]
    assert isinstance(finished, Finished)
    assert finished.hold is not None
    assert (finished.hold.code, finished.hold.subcode) == (34, 104)
    assert site.signals[0].startswith("15 at ")


def test_a_disk_that_cannot_be_looked_at_holds_nobody(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_monitor, "measure_file_system", lambda _path: None)
    site.submit(fill(job(seconds=50), 2**40))

    site.run()

    finished = site.told()[-1]
    assert isinstance(finished, Finished)
    assert finished.hold is None


# --- orders that do not end it, and one that does at once ------------------------------------


def test_a_job_is_suspended_and_continued_and_its_attempt_goes_on(site: Site) -> None:
    schedd, asked = FakeSchedd(site.broker), job(seconds=200)
    site.submit(asked)
    site.after(50, lambda: schedd.tell(asked, "suspend"))
    site.after(80, lambda: schedd.tell(asked, "continue"))

    site.run()

    assert site.signals == ["stop at 50", "continue at 80"]
    assert site.kinds() == ["started", "finished"]
    assert len(schedd.beats) == 3


def test_a_job_that_is_to_end_is_not_stopped_any_more(site: Site) -> None:
    schedd, asked = FakeSchedd(site.broker), job(seconds=500, environment={"DYING": "5"})
    site.submit(asked)
    site.after(50, lambda: schedd.tell(asked, "vacate"))
    site.after(52, lambda: schedd.tell(asked, "suspend"))

    site.run()

    assert site.signals == ["15 at 50"]


def test_vacated_fast_it_has_no_grace(site: Site) -> None:
    schedd, asked = FakeSchedd(site.broker), job(seconds=500, environment={"DYING": "5"})
    site.submit(asked)
    site.after(50, lambda: schedd.tell(asked, "vacate_fast"))

    site.run()

    assert site.signals == ["15 at 50", "9 at 50"]
    evicted = site.told()[-1]
    assert isinstance(evicted, Evicted)
    assert (evicted.reason, evicted.time) == ("vacated", site.start + 50)


def test_orders_of_another_schedd_are_not_for_its_job(site: Site) -> None:
    asked = job(seconds=50)
    site.submit(asked)

    def stranger() -> None:
        assert site.worker is not None
        inbox = site.worker.name
        control = Control("other", asked.job, 0, "remove", life=asked.life)
        site.broker.deliver(inbox, Mail(encode(control)))

    site.after(10, stranger)

    site.run()

    assert site.signals == []


# --- heartbeats ------------------------------------------------------------------------------


def test_a_heartbeat_tells_what_the_job_uses_and_where_it_runs(site: Site) -> None:
    schedd = FakeSchedd(site.broker)
    site.submit(job(seconds=100))

    site.run()

    ((_when, beat),) = schedd.beats
    assert (beat.usage.user_cpu, beat.usage.rss, beat.usage.disk) == (0.25, 1000, 8)
    assert beat.usage.wall == pytest.approx(60, abs=1)
    assert beat.machine is not None
    assert beat.machine.opsys == "LINUX"


# --- tails of its files ----------------------------------------------------------------------


def peeked(site: Site, peek: Peek) -> list[tuple[str, Message]]:
    """Return what comes back while job 1.0 runs."""
    heard: list[tuple[str, Message]] = []
    site.broker.answer("asker", lambda mail: heard.append((mail.correlation, decode(mail.body))))

    def ask() -> None:
        worker = next(name for name in site.broker.inboxes if name.startswith("thyme.worker."))
        site.broker.deliver(worker, Mail(encode(peek), "asker", "c"))

    site.after(10, ask)
    site.submit(job(seconds=20))
    site.run()
    return heard


def test_a_running_jobs_files_can_be_looked_into(site: Site) -> None:
    heard = peeked(site, Peek("vobox", job().job, 0, "nope", 0, 10, life="a1"))

    told = ("nope", 0, 0, b"", "No such file or directory")
    assert heard == [("c", Peeked("vobox", job().job, 0, *told, life="a1"))]


@pytest.mark.parametrize(("attempt", "life"), [(3, "a1"), (0, "other")])
def test_another_attempts_files_and_those_of_another_job_of_the_number_are_not_here(
    site: Site, attempt: int, life: str
) -> None:
    peek = Peek("vobox", job().job, attempt, STDOUT, 0, 10, life=life)
    ((_c, told),) = peeked(site, peek)

    assert isinstance(told, Peeked)
    assert told.reason == "that attempt does not run here"


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    made = Sandbox(tmp_path)
    (made.path / "d").mkdir()
    (made.path / "d/file").write_bytes(b"0123456789")
    made.open_stream(STDERR).write(b"said")
    (tmp_path / "secret").write_text("secret")
    (made.path / "link").symlink_to(tmp_path / "secret")
    (made.path / "up").symlink_to(tmp_path)
    os.mkfifo(made.path / "pipe")
    yield made
    made.remove()


@pytest.mark.parametrize(
    ("name", "offset", "limit", "at", "data"),
    [
        ("d/file", 0, 4, 0, b"0123"),
        ("d/file", 4, 4, 4, b"4567"),
        ("d/file", -1, 4, 6, b"6789"),
        ("d/file", -1, 400, 0, b"0123456789"),
        ("d/file", 99, 4, 10, b""),
        ("d/file", 0, 0, 0, b""),
        (STDERR, 0, 2**62, 0, b"said"),
    ],
)
def test_a_piece_of_a_file(
    sandbox: Sandbox, name: str, offset: int, limit: int, at: int, data: bytes
) -> None:
    told = answer_peek(Peek("vobox", job().job, 0, name, offset, limit, life="a1"), sandbox)

    size = (sandbox.path / name).stat().st_size
    assert told == Peeked("vobox", job().job, 0, name, at, size, data, "", life="a1")


def test_a_piece_is_never_too_large_for_mail(sandbox: Sandbox) -> None:
    (sandbox.path / "big").write_bytes(bytes(MAX_PEEK + 5))

    told = answer_peek(Peek("vobox", job().job, 0, "big", -1, 2**62, life="a1"), sandbox)

    assert (told.offset, len(told.data), told.size) == (5, MAX_PEEK, MAX_PEEK + 5)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/etc/passwd", "it is outside the scratch directory"),
        ("../secret", "it is outside the scratch directory"),
        ("d/../../secret", "it is outside the scratch directory"),
        ("link", "Too many levels of symbolic links"),
        ("up/secret", "Not a directory"),
        ("pipe", "not a regular file"),
        ("d", "not a regular file"),
        ("", "it is outside the scratch directory"),
        ("x" * 5000, "File name too long"),
        ("half \ud800", "'utf-8' codec can't encode character '\\ud800' in position 5: "
         "surrogates not allowed"),
    ],
)  # fmt: skip
def test_nothing_else_can_be_looked_into(sandbox: Sandbox, name: str, reason: str) -> None:
    told = answer_peek(Peek("vobox", job().job, 0, name, 0, 10, life="a1"), sandbox)

    assert (told.data, told.size, told.reason) == (b"", 0, reason)


# --- waiting ---------------------------------------------------------------------------------


class Listener:
    """A schedd that hears what waiting workers say."""

    def __init__(self, site: Site) -> None:
        self.heard: list[tuple[float, Waiting]] = []
        self._site = site
        site.broker.answer("listener", self._hear)
        site.broker.listeners[POOL].add("listener")

    def _hear(self, mail: Mail) -> None:
        message = decode(mail.body)
        assert isinstance(message, Waiting)
        self.heard.append((round(self._site.clock() - self._site.start), message))


def test_a_worker_that_waits_says_so_at_once_and_with_each_interval(site: Site) -> None:
    listener = Listener(site)

    assert site.run(timeout=150.0, heartbeat=60.0) == 3

    assert [when for when, _ in listener.heard] == [0, 60, 120, 150]
    assert [word.leaving for _, word in listener.heard] == [False, False, False, True]
    first = listener.heard[0][1]
    assert site.worker is not None
    assert (first.worker, first.host) == (site.worker.name, site.worker.slot)
    assert (first.pool, first.since, first.interval, first.jobs) == (POOL, site.start, 60.0, 0)
    assert first.machine is not None


def test_a_worker_with_work_does_not_say_that_it_waits(site: Site) -> None:
    listener = Listener(site)
    site.submit(job(seconds=100), job(seconds=100, name="2.0"))

    assert site.run(max_jobs=2, timeout=50.0) == 0

    assert listener.heard == []


def test_between_two_jobs_it_waits_anew(site: Site) -> None:
    listener = Listener(site)
    site.after(30, lambda: site.submit(job(seconds=100)))

    assert site.run(max_jobs=0, timeout=50.0) == 0

    said = [
        (when, word.since - site.start, word.jobs, word.leaving) for when, word in listener.heard
    ]
    assert said == [(0, 0, 0, False), (130, 130, 1, False), (180, 130, 1, True)]


def test_a_worker_ends_although_it_cannot_announce_it(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    site.broker.break_at("announce", 2)

    assert site.run(timeout=20.0, heartbeat=60.0) == 3

    text = "cannot announce the end of the worker: the line broke in announce"
    assert text in caplog.messages


def test_a_connection_lost_during_an_announcement_is_made_again(site: Site) -> None:
    listener = Listener(site)
    site.broker.break_at("announce", 2)

    assert site.run(timeout=100.0, heartbeat=30.0) == 3

    assert [word.leaving for _, word in listener.heard][-1] is True
    assert len(listener.heard) >= 4
