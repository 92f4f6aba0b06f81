"""Run a program that gets only so many threads, as under a limit of processes."""

import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

#: What every program says then.
NO_THREAD = (
    "no thread can be started: this user, service or node has as many processes as it may "
    "(ulimit -u, TasksMax, kernel.threads-max)"
)
_SCRIPT = """
import sys, threading
from {module} import main
start, left = threading.Thread.start, {threads}
def start_or_fail(thread):
    global left
    left -= 1
    if left < 0:
        raise RuntimeError("can't start new thread")
    start(thread)
threading.Thread.start = start_or_fail
sys.exit(main(sys.argv[1:]))
"""


def run_with_threads(
    module: str, threads: int, words: Sequence[str]
) -> subprocess.CompletedProcess[str]:
    """Run the ``main`` of a module with these arguments to its end."""
    return subprocess.run(
        [sys.executable, "-c", _SCRIPT.format(module=module, threads=threads), *words],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def refuse_threads(patch: pytest.MonkeyPatch) -> None:
    """Let no thread start in this process."""

    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    patch.setattr(threading.Thread, "start", fail)


def limit_threads(group: Path, pid: int) -> None:
    """Leave a process the threads that it has: put it into a new control group with that limit.

    group: below the hierarchy of the controller ``pids``; ``pids.max`` there is the limit.
    """
    group.mkdir(parents=True)
    (group / "cgroup.procs").write_text(str(pid))
    (group / "pids.max").write_text(str(len(list(Path(f"/proc/{pid}/task").iterdir()))))
