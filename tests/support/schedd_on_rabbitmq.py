"""Commands and conditions for tests of a schedd on a real RabbitMQ."""

import os
from collections.abc import Callable
from pathlib import Path

from tests.support.schedd_process import LiveSchedd
from tests.support.waiting import wait_until

#: Until a loaded machine has done what takes a second.
PATIENCE = 90.0
SHELL = "executable = /bin/sh\ntransfer_executable = false\n"
HERE = f"{SHELL}should_transfer_files = NO\n"

Make = Callable[..., LiveSchedd]


def until(condition: Callable[[], object], what: str, live: LiveSchedd) -> None:
    def state() -> object:
        return live.states(), live.said()[-2000:]

    wait_until(condition, what, timeout=PATIENCE, state=state)


def asked(live: LiveSchedd, command: str, *argv: str) -> str:
    """Return stdout of a command that must succeed."""
    done = live.run(command, *argv)
    assert (done.returncode, done.stderr) == (0, ""), (done, live.said()[-2000:])
    return done.stdout


def slots(live: LiveSchedd) -> list[str]:
    return sorted(asked(live, "condor_status", "-af", "State").split())


def pid_in(path: Path) -> int:
    """Return the process id that a job has written into a file."""
    wait_until(lambda: path.exists() and path.read_text().strip(), f"{path}", timeout=PATIENCE)
    return int(path.read_text())


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


#: A job that says where it runs and waits to be killed.
SLEEPER = HERE + "arguments = \"-c 'echo $$ >> pid; exec sleep 600'\"\n"


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []
