"""A process of its own that ends the demo's programs if the demo itself is killed."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from . import processes

_DISMISS = b"."


@contextmanager
def guarded(root: Path, lock: int) -> Iterator[None]:
    """End all that this process started if it dies while the block runs.

    A fork waits at a pipe. The end of this process, by whatever signal, closes the pipe; leaving
    the block sends a byte first.

    ``root``: the demo's directory, by which its processes are known; ``lock``: the descriptor of
    that directory's lock, which the fork keeps: no other demo starts before everything has ended.
    """
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(tell)
        _guard(root, told, lock)
    os.close(told)
    try:
        yield
    finally:
        with suppress(OSError):  # it was killed
            os.write(tell, _DISMISS)
        os.close(tell)
        os.waitpid(pid, 0)


def _guard(root: Path, told: int, lock: int) -> None:
    """Wait for a byte or the end of the parent process; never returns."""
    try:
        # A session of its own: what ends the demo's process group or terminal spares it.
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in range(3):
            os.dup2(nowhere, standard)
        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
            if int(name) > 2 and int(name) not in (told, lock):
                with suppress(OSError):
                    os.close(int(name))
        if os.read(told, 1) != _DISMISS:
            processes.kill_all(root)
    finally:
        os._exit(0)
