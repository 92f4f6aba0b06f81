"""Write a file for each job that left the queue, for clients that read these (ARC).

As in HTCondor's PER_JOB_HISTORY_DIR: ``history.C.P`` holds the job's ad as
``Attr = value`` lines. They are a copy for others: nothing here reads them. In
a directory that the administrator names nothing is ever removed; our own holds
the newest files alone.

A thread of their own writes them: thousands of jobs that are removed at once keep nobody
waiting, and neither does a file system that does not answer. What is not written when the
schedd ends is written after its next start.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import os
import re
import sqlite3
import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from thyme.protocol.job import JobId
from vobox.ledger.snapshot import LedgerSnapshot, LeftJob

log = logging.getLogger(__name__)

#: Files, bytes of them, and seconds since their jobs left the queue, that our own directory holds.
MAX_FILES: Final = 10_000
MAX_BYTES: Final = 64 * 1024 * 1024
MAX_SECONDS: Final = 3 * 86400.0
#: Jobs whose files may wait; of more, the ledger is compared with the directory.
MAX_WAITING: Final = 100_000
#: Jobs read from the ledger at once: while it is read, its write-ahead log only grows.
READ_JOBS: Final = 500
#: Seconds of work after which the thread rests for as long, and while a command is carried out, but
#: not for longer than ``MAX_REST_SECONDS``: others have the interpreter then.
TURN_SECONDS: Final = 0.01
MAX_REST_SECONDS: Final = 1.0
#: Seconds between two looks for files that are too old.
CLEAN_SECONDS: Final = 60.0
_FILE = re.compile(r"\.?history\.\d+\.\d+(\.new)?")


def get_directory(socket: Path) -> Path:
    """Return our own directory: beside the socket, in what a CE's container shares with us."""
    return socket.absolute().with_name(f"{socket.name}.history")


def make_directory(path: Path) -> None:
    """Make our own directory, for all to read where we serve all; raises OSError."""
    mode = 0o755 if os.geteuid() == 0 else 0o700
    path.mkdir(mode=mode, exist_ok=True)
    descriptor = _open(path, True)
    try:
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def _open(path: Path, is_own: bool) -> int:
    """Open a directory; our own only where nobody else can have put it there."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (os.O_NOFOLLOW if is_own else 0)
    descriptor = os.open(path, flags)
    found = os.fstat(descriptor)
    if is_own and (found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o022):
        os.close(descriptor)
        raise PermissionError(errno.EPERM, "another user could change it")
    return descriptor


class HistoryFiles:
    """The directory of the files.

    ``add`` and ``complete`` may be called from any thread; the rest is for the files' own.
    """

    def __init__(
        self,
        directory: Path,
        open_ledger: Callable[[], LedgerSnapshot],
        is_own: bool = False,
        wall: Callable[[], float] = time.time,
        is_busy: Callable[[], bool] = lambda: False,
    ) -> None:
        """Write nothing yet.

        :param directory: is there already
        :param open_ledger: returns the ledger as it is at that moment
        :param is_own: bound the directory, and remove what is too old or too much
        :param wall: epoch seconds
        :param is_busy: whether a command is being carried out
        """
        self._directory = directory
        self._open_ledger = open_ledger
        self._is_own = is_own
        self._wall = wall
        self._is_busy = is_busy
        self._has_failed = False
        self._changed = threading.Condition()
        #: guarded by it: the jobs whose files wait, and whether files of others may be missing
        self._waiting: list[JobId] = []
        self._is_complete = True
        #: name → bytes, and time at which the job left the queue, oldest first, of our own
        self._kept: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._bytes = 0
        self._turn_began = 0.0

    def add(self, jobs: Sequence[JobId]) -> None:
        """Let the files of these jobs be written, which left the queue as the ledger says now."""
        with self._changed:
            self._waiting += jobs
            if len(self._waiting) > MAX_WAITING:
                self._waiting.clear()
                self._is_complete = False

    def start(self) -> None:
        """Begin to write what waits."""
        if self._waiting or not self._is_complete:
            with self._changed:
                self._changed.notify()

    def complete(self) -> None:
        """Let the files be written that are missing, and those removed that nobody keeps."""
        with self._changed:
            self._is_complete = False

    def run(self) -> None:
        """Write files for as long as the process runs."""
        while True:
            with self._changed:
                if not self._waiting and self._is_complete:
                    self._changed.wait(CLEAN_SECONDS)
            try:
                self.write()
            except Exception:
                log.exception("history directory %s", self._directory)

    def write(self) -> None:
        """Write the files that wait, and remove old ones; a failure is logged and stops nothing."""
        with self._changed:
            jobs, self._waiting = self._waiting, []
            is_complete, self._is_complete = self._is_complete, True
        if self._is_own:
            jobs = jobs[-MAX_FILES:]
        try:
            directory = _open(self._directory, self._is_own)
        except OSError as error:
            self._report(error)  # they are written after the next start
            return
        try:
            if not is_complete:
                self._complete(directory)
            for start in range(0, len(jobs), READ_JOBS):
                with contextlib.closing(self._open_ledger()) as ledger:
                    for job in ledger.read_left(jobs[start : start + READ_JOBS]):
                        self._write(directory, job)
                        self._clean(directory)
            self._clean(directory)
        except (OSError, sqlite3.Error) as error:
            self._report(error)
        finally:
            os.close(directory)

    def _complete(self, directory: int) -> None:
        """Write the files that are missing, and remove those that nobody keeps."""
        self._kept.clear()
        self._bytes = 0
        there = set(os.listdir(directory))
        # no more than these are tried where none can be written
        for job in itertools.islice(self._list_left(), MAX_FILES if self._is_own else None):
            name = f"history.{job.id}"
            if self._is_own and (
                self._bytes > MAX_BYTES or job.left_at < self._wall() - MAX_SECONDS
            ):
                break
            if name not in there:
                self._write(directory, job)
            elif self._is_own and (size := self._measure(directory, name)) is not None:
                self._keep(name, size, job.left_at)
            if name in self._kept:
                self._kept.move_to_end(name, last=False)
        if self._is_own:
            for name in there - self._kept.keys():
                if _FILE.fullmatch(name):
                    _remove(directory, name)

    def _list_left(self) -> Iterator[LeftJob]:
        """Yield the jobs of the history, the last that left the queue first."""
        last = None
        while True:
            with contextlib.closing(self._open_ledger()) as ledger:
                found = ledger.list_left(last, READ_JOBS)
            yield from found
            if len(found) < READ_JOBS:
                return
            last = found[-1]

    def _write(self, directory: int, job: LeftJob) -> None:
        """Write the job's file, whole or not at all."""
        name = f"history.{job.id}"
        if name in self._kept:  # it left while ``_complete`` was at work
            return
        self._rest()
        lines = "".join(f"{attribute} = {text}\n" for attribute, text in sorted(job.ad.pairs()))
        text = lines.encode("utf-8", "surrogateescape")
        new = f".{name}.new"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with open(os.open(new, flags, 0o644, dir_fd=directory), "wb") as file:
                file.write(text)
                os.fchmod(file.fileno(), 0o644)  # they are for others to read
            os.rename(new, name, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError as error:
            self._report(error, name)
            _remove(directory, new)
            return
        self._has_failed = False
        if self._is_own:
            self._keep(name, len(text), job.left_at)

    def _rest(self) -> None:
        if (began := time.monotonic()) - self._turn_began > TURN_SECONDS:
            time.sleep(TURN_SECONDS)
            while self._is_busy() and time.monotonic() - began < MAX_REST_SECONDS:
                time.sleep(TURN_SECONDS)
            self._turn_began = time.monotonic()

    def _keep(self, name: str, size: int, left_at: float) -> None:
        self._kept[name] = (size, left_at)
        self._bytes += size

    def _clean(self, directory: int) -> None:
        """Remove the oldest files until the rest is within the bounds."""
        oldest = self._wall() - MAX_SECONDS
        while self._kept:
            name, (size, left_at) = next(iter(self._kept.items()))
            if len(self._kept) <= MAX_FILES and self._bytes <= MAX_BYTES and left_at >= oldest:
                break
            del self._kept[name]
            self._bytes -= size
            _remove(directory, name)

    def _measure(self, directory: int, name: str) -> int | None:
        try:
            return os.stat(name, dir_fd=directory, follow_symlinks=False).st_size
        except OSError:
            return None

    def _report(self, error: OSError | sqlite3.Error, name: str = "") -> None:
        """Log the first of several failures in a row."""
        if not self._has_failed:
            what = f"file {self._directory / name}" if name else f"directory {self._directory}"
            log.warning("history %s: %s", what, getattr(error, "strerror", None) or error)
        self._has_failed = True


def _remove(directory: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except OSError:
        return  # somebody else did; what stays is looked at again at the next start
