"""Processes of the CE's user, really run."""

import os
import signal

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


def test_a_command_of_a_user_that_we_cannot_become_fails_with_the_reason() -> None:
    system = System(User("impossible", 0, 0, (1 << 40,), "/"))
    assert system.run("true", ENVIRONMENT, 30.0).code == 127
    with pytest.raises(OSError, match="preexec_fn"):
        system.start("true", ENVIRONMENT)
