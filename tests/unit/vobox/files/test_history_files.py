"""Per-job history files, as ARC reads them."""

import errno
import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.support.schedd_parts import JOB, SCHEDD, Events, Expression, ScheddHarness
from thyme.protocol.job import JobId
from vobox.files import history_files
from vobox.files.history_files import HistoryFiles
from vobox.ledger.snapshot import LedgerSnapshot


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[ScheddHarness]:
    made = ScheddHarness(tmp_path)
    (tmp_path / "history").mkdir()
    start(made)
    yield made
    made.close()


def start(bench: ScheddHarness, is_own: bool = False) -> HistoryFiles:
    """Start without what was known of the directory; ``write`` is called by hand."""
    bench.state.history = HistoryFiles(
        bench.directory / "history",
        lambda: LedgerSnapshot(bench.ledger.path, SCHEDD, "", ""),
        is_own,
        bench.wall,
    )
    return bench.state.history


def files(bench: ScheddHarness) -> dict[str, str]:
    """Let the files be written that wait, and return what is in the directory."""
    assert bench.state.history is not None
    bench.state.history.write()
    return read(bench)


def read(bench: ScheddHarness) -> dict[str, str]:
    return {path.name: path.read_text() for path in (bench.directory / "history").iterdir()}


def test_a_job_that_left_has_a_file_with_its_ad_and_no_other_has(bench: ScheddHarness) -> None:
    e = Events()
    bench.submit(e.submit(), Events(JobId(39, 0)).submit())
    bench.record(e.started())
    assert files(bench) == {}
    bench.record(e.finished(code=3))
    (name, text), *rest = files(bench).items()
    assert (name, rest) == ("history.38.0", [])
    lines = text.splitlines()
    assert lines == sorted(lines)
    for line in (
        "JobStatus = 4",
        "ExitCode = 3",
        'LastRemoteHost = "slot1_1@w1"',
        'Owner = "games"',
    ):
        assert line in lines
    # no banner: what ARC greps are attributes alone
    assert all(" = " in line for line in lines)


class SleepClock:
    """``time``, in which nothing passes but what is slept."""

    def __init__(self) -> None:
        self.slept = 0.0

    def monotonic(self) -> float:
        return 1000.0 + self.slept

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


@pytest.mark.parametrize(("is_busy", "rest"), [(False, 0.01), (True, 1.0)])
def test_a_command_is_waited_for_but_not_for_ever(
    bench: ScheddHarness, monkeypatch: pytest.MonkeyPatch, is_busy: bool, rest: float
) -> None:
    bench.submit(Events(JobId(1, 0)).submit())
    history = HistoryFiles(
        bench.directory / "history",
        lambda: LedgerSnapshot(bench.ledger.path, SCHEDD, "", ""),
        is_busy=lambda: is_busy,
    )
    bench.state.history = history
    bench.record(Events(JobId(1, 0)).removed())
    clock = SleepClock()
    monkeypatch.setattr(history_files, "time", clock)
    history.write()
    assert list(read(bench)) == ["history.1.0"]
    assert clock.slept == pytest.approx(rest, abs=0.011)


def test_removed_jobs_and_those_that_stayed_for_a_while_have_one_too(bench: ScheddHarness) -> None:
    bench.submit(Events(JobId(1, 0)).submit())
    bench.record(Events(JobId(1, 0)).removed())
    stays = Expression("CurrentTime - CompletionDate < 5000")
    e = Events(JobId(2, 0), attributes={"LeaveJobInQueue": stays})
    bench.submit(e.submit())
    bench.record(e.started(), e.finished())
    bench.policies()
    assert sorted(files(bench)) == ["history.1.0"]
    bench.wall.now += 10000
    bench.policies()
    assert sorted(files(bench)) == ["history.1.0", "history.2.0"]


def test_missing_ones_are_written_at_a_start_and_the_others_left_alone(
    bench: ScheddHarness,
) -> None:
    for cluster in (1, 2):
        bench.submit(Events(JobId(cluster, 0)).submit())
        bench.record(Events(JobId(cluster, 0)).removed())
    assert len(files(bench)) == 2
    directory = bench.directory / "history"
    (directory / "history.1.0").unlink()
    (directory / "history.2.0").write_text("mine")
    assert bench.state.history is not None
    bench.state.history.complete()
    assert (
        files(bench)["history.2.0"] == "mine" and "JobStatus = 3\n" in files(bench)["history.1.0"]
    )


def test_a_directory_that_is_gone_is_said_once_and_stops_nothing(
    bench: ScheddHarness, caplog: pytest.LogCaptureFixture
) -> None:
    directory = bench.directory / "history"
    directory.rmdir()
    assert bench.state.history is not None
    for cluster in (1, 2):
        leave(bench, cluster)
        bench.state.history.write()
    assert not bench.job(JobId(2, 0)).in_queue
    assert warnings(caplog) == [f"history directory {directory}: No such file or directory"]


def test_what_is_no_utf8_is_written_as_it_is(bench: ScheddHarness) -> None:
    e = Events(attributes={"Odd": Expression('"caf\udce9"')})
    bench.submit(e.submit())
    bench.record(e.removed())
    assert bench.state.history is not None
    bench.state.history.write()
    text = (bench.directory / "history" / f"history.{JOB}").read_bytes()
    assert b'Odd = "caf\xe9"\n' in text


def leave(bench: ScheddHarness, cluster: int) -> None:
    """Submit a job and let it leave the queue."""
    e = Events(JobId(cluster, 0), now=bench.wall.now)
    bench.submit(e.submit())
    bench.record(e.removed())


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if "history" in each.getMessage()]


@pytest.fixture
def own(bench: ScheddHarness) -> ScheddHarness:
    """Give the schedd a directory of its own, which is bounded."""
    history_files.make_directory(bench.directory / "history")
    start(bench, is_own=True)
    return bench


def restart(bench: ScheddHarness) -> dict[str, str]:
    """Return what is in the directory after a start."""
    start(bench, is_own=True).complete()
    return files(bench)


def test_our_own_directory_holds_the_newest_files_also_after_a_start(
    own: ScheddHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_files, "MAX_FILES", 2)
    for cluster in (9, 3, 5):  # the newest counts, not the highest id
        leave(own, cluster)
        files(own)
        own.wall.now += 10
    assert sorted(read(own)) == ["history.3.0", "history.5.0"]
    (own.directory / "history" / "history.3.0").unlink()
    assert sorted(restart(own)) == ["history.3.0", "history.5.0"]
    leave(own, 7)
    assert sorted(files(own)) == ["history.5.0", "history.7.0"]


def test_what_is_too_old_is_removed_and_does_not_come_back(own: ScheddHarness) -> None:
    leave(own, 1)
    own.wall.now += 2 * 86400
    leave(own, 2)
    assert sorted(files(own)) == ["history.1.0", "history.2.0"]
    own.wall.now += 86400 + 60  # no job leaves any more
    assert sorted(files(own)) == ["history.2.0"]
    assert sorted(restart(own)) == ["history.2.0"]


def test_the_bytes_of_our_own_directory_are_bounded(
    own: ScheddHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(own, 1)
    size = len(files(own)["history.1.0"])
    monkeypatch.setattr(history_files, "MAX_BYTES", 2 * size + size // 2)
    for cluster in (2, 3, 4):
        own.wall.now += 10
        leave(own, cluster)
    assert sorted(files(own)) == ["history.3.0", "history.4.0"]
    assert sorted(restart(own)) == ["history.3.0", "history.4.0"]


def test_a_start_removes_only_files_of_ours(own: ScheddHarness) -> None:
    directory = own.directory / "history"
    for name in ("history.77.0", ".history.77.1.new", "history.txt", "notes"):
        (directory / name).write_text("x")
    assert sorted(restart(own)) == ["history.txt", "notes"]


def test_a_named_directory_keeps_what_is_old(
    bench: ScheddHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_files, "MAX_FILES", 1)
    for cluster in (1, 2):
        leave(bench, cluster)
    bench.wall.now += 10 * 86400
    assert sorted(files(bench)) == ["history.1.0", "history.2.0"]


def test_of_many_at_once_our_own_directory_gets_the_newest(
    own: ScheddHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_files, "MAX_FILES", 2)
    most = 0

    def count(real: Callable[..., None], *arguments: Any, **named: Any) -> None:
        nonlocal most
        real(*arguments, **named)
        most = max(most, len(read(own)))

    monkeypatch.setattr(os, "rename", partial(count, os.rename))
    assert own.state.history is not None
    for clusters in ((8, 9), (3, 1, 2)):
        for cluster in clusters:
            leave(own, cluster)
        own.state.history.write()
    assert sorted(read(own)) == ["history.1.0", "history.2.0"]
    assert most == 3  # one more than it holds, until the oldest is removed


@pytest.mark.parametrize("is_own", [False, True])
def test_when_too_many_wait_the_missing_ones_are_found_in_the_ledger(
    bench: ScheddHarness, monkeypatch: pytest.MonkeyPatch, is_own: bool
) -> None:
    monkeypatch.setattr(history_files, "MAX_WAITING", 2)
    monkeypatch.setattr(history_files, "READ_JOBS", 2)
    start(bench, is_own)
    for cluster in (1, 2, 3, 4, 5):  # a page is full, and one is not
        leave(bench, cluster)
        bench.wall.now += 10
    assert sorted(files(bench)) == [f"history.{cluster}.0" for cluster in (1, 2, 3, 4, 5)]


def test_a_job_that_leaves_while_the_directory_is_completed_counts_once(
    own: ScheddHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(own, 1)
    size = len(restart(own)["history.1.0"])
    monkeypatch.setattr(history_files, "MAX_BYTES", 2 * size + size // 2)
    history = start(own, is_own=True)
    history.complete()
    leave(own, 2)  # the ledger has it, and it waits as well
    history.write()
    assert sorted(read(own)) == ["history.1.0", "history.2.0"]


def test_a_ledger_that_cannot_be_read_is_said_and_the_next_file_is_written(
    bench: ScheddHarness, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> NoReturn:
        raise sqlite3.OperationalError("disk I/O error")

    leave(bench, 1)
    with monkeypatch.context() as patched:
        patched.setattr(LedgerSnapshot, "read_left", fail)
        assert files(bench) == {}
    assert warnings(caplog) == [f"history directory {bench.directory / 'history'}: disk I/O error"]
    leave(bench, 2)
    assert sorted(files(bench)) == ["history.2.0"]
    assert bench.state.history is not None
    bench.state.history.complete()
    assert sorted(files(bench)) == ["history.1.0", "history.2.0"]


def test_a_directory_that_does_not_answer_stops_nobody(
    bench: ScheddHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, asked = threading.Event(), threading.Event()
    real = history_files._open

    def wait(path: Path, is_own: bool) -> int:
        asked.set()
        assert answers.wait(30)
        return real(path, is_own)

    monkeypatch.setattr(history_files, "_open", wait)
    assert bench.state.history is not None
    leave(bench, 1)
    thread = threading.Thread(target=bench.state.history.write)
    thread.start()
    assert asked.wait(30)
    leave(bench, 2)  # does not wait
    assert read(bench) == {}
    answers.set()
    thread.join()
    assert sorted(read(bench)) == ["history.1.0"]
    assert sorted(files(bench)) == ["history.1.0", "history.2.0"]


def test_our_own_directory_is_never_a_link_that_another_user_made(
    own: ScheddHarness, caplog: pytest.LogCaptureFixture
) -> None:
    directory = own.directory / "history"
    elsewhere = own.directory / "elsewhere"
    directory.rename(elsewhere)
    directory.symlink_to(elsewhere)
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        history_files.make_directory(directory)
    leave(own, 1)
    assert files(own) == {}
    (warning,) = warnings(caplog)
    assert warning.startswith(f"history directory {directory}: ")


@pytest.mark.parametrize("whose", ["others may write", "of another user"])
def test_our_own_directory_is_never_one_that_another_user_could_change(
    own: ScheddHarness,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    whose: str,
) -> None:
    directory = own.directory / "history"
    if whose == "others may write":
        directory.chmod(0o777)
    else:
        user = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    with pytest.raises(PermissionError, match="another user could change it"):
        history_files.make_directory(directory)
    leave(own, 1)
    assert files(own) == {}
    assert warnings(caplog) == [f"history directory {directory}: another user could change it"]


def test_a_full_disk_is_said_once_and_leaves_nothing_behind(
    own: ScheddHarness, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_named: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", fail)
        for cluster in (1, 2):
            leave(own, cluster)
        assert files(own) == {}
    path = own.directory / "history" / "history.1.0"
    assert warnings(caplog) == [f"history file {path}: No space left on device"]
    assert sorted(restart(own)) == ["history.1.0", "history.2.0"]


def test_a_start_with_a_full_disk_ends_after_as_many_jobs_as_the_directory_holds(
    own: ScheddHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def fail(name: str, *_arguments: object, **_named: object) -> int:
        tried.append(name)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for cluster in (1, 2, 3):
        leave(own, cluster)
        own.wall.now += 10
    monkeypatch.setattr(history_files, "MAX_FILES", 2)
    with monkeypatch.context() as patched:
        is_created = os.O_CREAT
        real = os.open
        patched.setattr(
            os,
            "open",
            lambda name, flags, *rest, **named: (
                fail(name) if flags & is_created else real(name, flags, *rest, **named)
            ),
        )
        assert restart(own) == {}
    assert tried == [".history.3.0.new", ".history.2.0.new"]


def test_a_job_that_the_history_has_forgotten_gets_no_file(own: ScheddHarness) -> None:
    leave(own, 1)
    with own.ledger.transaction():
        own.ledger.trim_history(own.wall.now + 86400)
    leave(own, 2)
    assert sorted(files(own)) == ["history.2.0"]


def test_our_own_directory_is_beside_the_socket_and_readable_if_we_serve_all(
    tmp_path: Path,
) -> None:
    path = history_files.get_directory(tmp_path / "schedd.sock")
    assert path == tmp_path / "schedd.sock.history"
    history_files.make_directory(path)
    history_files.make_directory(path)
    assert stat.S_IMODE(path.stat().st_mode) == (0o755 if os.geteuid() == 0 else 0o700)


def test_while_many_files_are_written_commands_have_half_of_the_time(
    bench: ScheddHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, rested = 0.0, 0.0

    def work() -> float:
        nonlocal now
        now += 0.002  # a file takes so long here
        return now

    def sleep(seconds: float) -> None:
        nonlocal now, rested
        now, rested = now + seconds, rested + seconds

    start(bench)  # before the clock is ours
    monkeypatch.setattr(history_files.time, "monotonic", work)
    monkeypatch.setattr(history_files.time, "sleep", sleep)
    e = [Events(JobId(38, proc)) for proc in range(50)]
    bench.submit(*(each.submit() for each in e))
    bench.record(*(each.removed() for each in e))
    now = rested = 0.0
    assert len(files(bench)) == 50
    assert 0.35 < rested / now < 0.55
