"""SIGTERM to the first process of a real pid namespace: whether the kernel would drop it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from plancton.engine.process import procfs
from tests.support.waiting import wait_until

pytestmark = pytest.mark.root

#: What a process does about SIGTERM (15) when it has said that it is there.
DOES = {
    "nothing": "time.sleep(600)",
    "other signals": "signal.signal(10, print); time.sleep(600)",
    "handles": "signal.signal(15, print); time.sleep(600)",
    "ignores": "signal.signal(15, signal.SIG_IGN); time.sleep(600)",
    "blocks": "signal.pthread_sigmask(signal.SIG_BLOCK, [15]); time.sleep(600)",
    # as tini and dumb-init do
    "waits": "signal.pthread_sigmask(signal.SIG_BLOCK, [15]); signal.sigtimedwait([15], 600)",
}

First = Callable[[str], int]


@pytest.fixture
def first() -> Iterator[First]:
    """Start the first process of a namespace, which does what DOES says; yield its pid."""
    made: list[subprocess.Popen[str]] = []

    def start(what: str) -> int:
        program = f"import signal, time; print('there', flush=True); {DOES[what]}"
        outer = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            text=True,
        )
        made.append(outer)
        assert outer.stdout is not None
        assert outer.stdout.readline() == "there\n"
        with open(f"/proc/{outer.pid}/task/{outer.pid}/children") as file:
            return int(file.read())

    yield start
    for outer in made:
        outer.kill()
        outer.communicate()


@pytest.mark.parametrize("what", ["handles", "ignores", "blocks", "waits"])
def test_a_first_process_receives_what_it_handles_ignores_blocks_or_waits_for(
    first: First, what: str
) -> None:
    pid = first(what)
    wait_until(lambda: not procfs.ignores_signal(pid, signal.SIGTERM), "it to hear")


@pytest.mark.parametrize("what", ["nothing", "other signals"])
def test_a_signal_without_a_handler_is_lost_on_a_first_process(first: First, what: str) -> None:
    pid = first(what)
    assert procfs.ignores_signal(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGTERM)
    assert procfs.ignores_signal(pid, signal.SIGTERM), "it lives: the signal was lost"


def test_any_other_process_receives_the_signal() -> None:
    with subprocess.Popen(["sleep", "600"]) as other:
        assert not procfs.ignores_signal(other.pid, signal.SIGTERM)
        other.kill()
    assert not procfs.ignores_signal(other.pid, signal.SIGTERM), "nobody is there"
