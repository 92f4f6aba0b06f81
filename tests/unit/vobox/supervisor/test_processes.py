"""Processes of the CE's user, really run."""

import errno
import os
import signal
import tempfile
from pathlib import Path

import pytest

from vobox.supervisor.processes import Result, StopRequested, System
from vobox.supervisor.settings import User

#: The system takes over the process's signals and children.
pytestmark = pytest.mark.own_process
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/"}


def test_a_command_gives_its_exit_code_and_last_line() -> None:
    system = System(None)
    assert system.run("echo one; echo two >&2; exit 3", ENVIRONMENT, 30.0) == Result(3, "two")
    assert str(Result(3, "two")) == "exit code 3 (two)"
    assert str(Result(-9)) == "signal 9"


def test_a_command_that_takes_too_long_is_killed() -> None:
    system = System(None)
    result = system.run("echo waiting; sleep 1000", ENVIRONMENT, 0.2)
    assert result == Result(None, "waiting")
    assert str(result) == "its time was over (waiting)"


def test_what_a_command_leaves_in_its_group_is_killed() -> None:
    system = System(None)
    pid = int(system.run("sleep 1000 & echo $!", ENVIRONMENT, 30.0).last_line)
    system.kill_children()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_signal_is_taken_up_while_waiting() -> None:
    system = System(None)
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(StopRequested) as stop:
        system.wait(30.0)
    assert stop.value.number == signal.SIGTERM


def test_processes_of_users_may_have_any_name() -> None:
    """It ended thyme-vobox, whoever's process it was."""
    line, other = os.pipe()
    odd = os.fork()
    if odd == 0:
        Path("/proc/self/comm").write_bytes(b"\xff) Z 1 (\xfe")
        os.write(other, b".")
        signal.pause()
        os._exit(0)
    try:
        assert os.read(line, 1) == b"."
        system = System(None)
        system.wait(0.0)
        assert os.kill(odd, 0) is None
        system.kill_children()
        with pytest.raises(ProcessLookupError):
            os.kill(odd, 0)
    finally:
        os.close(line)
        os.close(other)


def test_a_disk_on_which_no_output_can_be_kept_is_the_reason_why_a_command_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", fail)
    assert System(None).run("true", ENVIRONMENT, 30.0) == Result(127, "No space left on device")


def test_what_another_user_has_left_in_the_group_of_a_command_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_group: int, _number: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "killpg", refuse)
    assert System(None).run("echo done", ENVIRONMENT, 30.0) == Result(0, "done")


def test_a_command_of_a_user_that_we_cannot_become_fails_with_the_reason() -> None:
    system = System(User("impossible", 0, 0, (1 << 40,), "/"))
    assert system.run("true", ENVIRONMENT, 30.0).code == 127
    with pytest.raises(OSError, match="preexec_fn"):
        system.start("true", ENVIRONMENT)


def test_a_home_that_is_not_there_is_the_reason_why_a_command_fails() -> None:
    system = System(None)
    result = system.run("true", {**ENVIRONMENT, "HOME": "/nowhere"}, 30.0)
    assert result == Result(127, "HOME=/nowhere: No such file or directory")


@pytest.mark.root
@pytest.mark.skipif(os.getuid() != 0, reason="acts as another user")
def test_a_command_of_another_user_begins_in_his_home_with_his_rights() -> None:
    with tempfile.TemporaryDirectory() as home:  # as a file server's that root may not enter
        environment = {**ENVIRONMENT, "HOME": home}
        system = System(User("other", 12345, 12345, (), home))
        assert system.run("pwd", environment, 30.0) == Result(
            127, f"HOME={home}: Permission denied"
        )
        os.chown(home, 12345, 12345)
        assert system.run("pwd", environment, 30.0) == Result(0, home)
