"""The files of a node: their places, the flags, the lock."""

import fcntl
import os
from pathlib import Path

import pytest

from plancton.daemon import lock as lock_module
from plancton.daemon.admin_mode import AdminFlags
from plancton.daemon.lock import DaemonLock, running_pid
from plancton.errors import AlreadyRunning, PlanctonError
from plancton.model import Mode
from plancton.paths import Paths


def test_root_has_the_system_s_places_and_everybody_else_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    system = Paths.choose()
    assert (str(system.rundir), str(system.config)) == (
        "/var/run/plancton",
        "/etc/plancton/config.yaml",
    )
    assert str(system.pidfile) == "/var/run/plancton.pid"
    as_user = Paths.choose(user=True)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert Paths.choose() == as_user
    assert str(as_user.config) == "/home/somebody/.plancton/conf/config.yaml"
    assert (as_user.logdir.name, as_user.rundir.name) == ("log", "run")
    assert as_user.pidfile == as_user.rundir / "plancton.pid", "as in 2017"


def test_a_run_directory_of_its_own_has_its_own_pid_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert str(Paths.choose(rundir="/x").pidfile) == "/x/plancton.pid"


# Flags


def test_flags_are_the_files_of_2017(tmp_path: Path) -> None:
    flags = AdminFlags(tmp_path)
    flags.drain(then_stop=True)
    assert {path.name for path in tmp_path.iterdir()} == {"drain", "stop"}
    assert flags.read_mode() is Mode.DRAIN_STOP
    flags.force_stop()
    assert flags.read_mode() is Mode.FORCE_STOP
    flags.finish_stop()
    assert {path.name for path in tmp_path.iterdir()} == {"drain"}
    flags.resume()
    assert flags.read_mode() is Mode.ACTIVE


def test_a_force_stop_that_came_too_late_is_forgotten_and_a_drain_is_not(tmp_path: Path) -> None:
    flags = AdminFlags(tmp_path)
    flags.drain()
    flags.force_stop()
    flags.clear_old_force_stop()
    assert flags.read_mode() is Mode.DRAIN


def test_a_flag_that_cannot_be_set_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(PlanctonError, match="drain: cannot be written: "):
        AdminFlags(tmp_path / "run").drain()


# Lock


def test_a_lock_is_held_once_and_free_again_after(paths: Paths) -> None:
    lock, other = DaemonLock(paths), DaemonLock(paths)
    assert running_pid(paths) is None
    lock.take()
    assert running_pid(paths) == os.getpid()
    assert paths.pidfile.read_text() == f"{os.getpid()}\n"
    with pytest.raises(AlreadyRunning, match=rf"a daemon \(pid {os.getpid()}\) runs with"):
        other.take()
    lock.release()
    assert running_pid(paths) is None
    assert not paths.pidfile.exists()
    other.take()
    other.release()


def test_a_status_that_is_asked_for_just_then_does_not_keep_a_daemon_from_starting(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths.rundir.mkdir()
    asking = os.open(paths.rundir / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(asking, fcntl.LOCK_SH)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        fcntl.flock(asking, fcntl.LOCK_UN)

    monkeypatch.setattr(lock_module.time, "sleep", pause)
    lock = DaemonLock(paths)
    lock.take()
    assert len(pauses) == 1
    lock.release()
    os.close(asking)


def test_a_pid_file_that_a_killed_daemon_left_is_not_believed(paths: Paths) -> None:
    paths.rundir.mkdir()
    paths.pidfile.write_text(f"{os.getpid()}\n")
    (paths.rundir / "lock").write_text(f"{os.getpid()}\n")
    assert running_pid(paths) is None


def test_a_pid_file_that_cannot_be_written_is_one_clear_line(paths: Paths) -> None:
    paths.pidfile.mkdir(parents=True)
    with pytest.raises(PlanctonError, match=f"{paths.pidfile}: cannot be written: Is a directory"):
        DaemonLock(paths).take()
    assert running_pid(paths) is None


def test_a_retry_is_wanted_until_the_daemon_has_done_it(tmp_path: Path) -> None:
    flags = AdminFlags(tmp_path)
    assert not flags.wants_retry()
    flags.request_retry()
    assert flags.wants_retry() and flags.read_mode() is Mode.ACTIVE
    flags.finish_retry()
    assert not flags.wants_retry()
