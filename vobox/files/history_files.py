"""Write a file for each job that left the queue, for clients that read these (ARC).

As in HTCondor's PER_JOB_HISTORY_DIR: ``history.C.P`` holds the job's ad as
``Attr = value`` lines. They are a copy for others: nothing here reads them. In
a directory that the administrator names nothing is ever removed; our own holds
the newest files alone.

Files are written between the rounds of the main loop, so that thousands of jobs that
are removed at once keep nobody waiting.
"""

from __future__ import annotations

import errno
import itertools
import logging
import os
import re
import stat
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from thyme.protocol.job import JobId
from vobox.jobs.job import Job

log = logging.getLogger(__name__)

#: Files, bytes of them, and seconds since their jobs left the queue, that our own directory holds.
MAX_FILES: Final = 10_000
MAX_BYTES: Final = 64 * 1024 * 1024
MAX_SECONDS: Final = 3 * 86400.0
#: Files written in one round.
ROUND_FILES: Final = 50
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
    """The directory of the files."""

    def __init__(
        self, directory: Path, find_job: Callable[[JobId], Job | None], is_own: bool = False
    ) -> None:
        """Write nothing yet.

        :param directory: is there already
        :param find_job: returns a job of the ledger
        :param is_own: bound the directory, and remove what is too old or too much
        """
        self._directory = directory
        self._find_job = find_job
        self._is_own = is_own
        self._has_failed = False
        self._waiting: deque[JobId] = deque(maxlen=MAX_FILES if is_own else None)
        #: name, bytes, and time at which the job left the queue, oldest first, of our own
        self._kept: deque[tuple[str, int, float]] = deque()
        self._bytes = 0

    def add(self, job: JobId) -> None:
        """Let the job's file be written in one of the next rounds."""
        self._waiting.append(job)

    def write(self, now: float) -> bool:
        """Write files that wait, and remove old ones; a failure is logged and stops nothing.

        :param now: epoch seconds
        :return: whether more files wait
        """
        is_old = bool(self._kept) and self._kept[0][2] < now - MAX_SECONDS
        if not self._waiting and not is_old:
            return False
        try:
            directory = _open(self._directory, self._is_own)
        except OSError as error:
            self._report(error)
            self._waiting.clear()  # written at the next start
            return False
        try:
            for _ in range(min(len(self._waiting), ROUND_FILES)):
                if (job := self._find_job(self._waiting.popleft())) is None:
                    continue  # the history has forgotten it
                size = self._write(directory, job)
                if self._is_own and size is not None:
                    self._keep(f"history.{job.id}", size, job.left_at)
            self._clean(directory, now)
        finally:
            os.close(directory)
        return bool(self._waiting)

    def complete(self, jobs: Iterable[Job], now: float) -> None:
        """Write the files that are missing, after a start, and remove those that nobody keeps.

        :param jobs: those that left the queue, the last one first
        :param now: epoch seconds
        """
        self._waiting.clear()
        self._kept.clear()
        self._bytes = 0
        try:
            directory = _open(self._directory, self._is_own)
        except OSError as error:
            self._report(error)
            return
        try:
            there = set(os.listdir(directory))  # noqa: PTH208 (only names, of many)
            # no more than these are tried where none can be written
            for job in itertools.islice(jobs, MAX_FILES if self._is_own else None):
                name = f"history.{job.id}"
                if not self._is_own:
                    if name not in there:
                        self._write(directory, job)
                    continue
                if job.left_at < now - MAX_SECONDS:
                    break
                size = self._measure(directory, name) if name in there else None
                size = self._write(directory, job) if size is None else size
                if size is None:
                    continue
                self._kept.appendleft((name, size, job.left_at))
                self._bytes += size
                if self._bytes > MAX_BYTES:
                    break
            if self._is_own:
                for name in there - {name for name, _, _ in self._kept}:
                    if _FILE.fullmatch(name):
                        _remove(directory, name)
                self._clean(directory, now)
        except OSError as error:
            self._report(error)
        finally:
            os.close(directory)

    def _write(self, directory: int, job: Job) -> int | None:
        """Write the job's file, whole or not at all; returns its bytes, None if it failed."""
        name = f"history.{job.id}"
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
            return None
        self._has_failed = False
        return len(text)

    def _keep(self, name: str, size: int, left_at: float) -> None:
        self._kept.append((name, size, left_at))
        self._bytes += size

    def _clean(self, directory: int, now: float) -> None:
        """Remove the oldest files until the rest is within the bounds."""
        while self._kept and (
            len(self._kept) > MAX_FILES
            or self._bytes > MAX_BYTES
            or self._kept[0][2] < now - MAX_SECONDS
        ):
            name, size, _ = self._kept.popleft()
            self._bytes -= size
            _remove(directory, name)

    def _measure(self, directory: int, name: str) -> int | None:
        try:
            return os.stat(name, dir_fd=directory, follow_symlinks=False).st_size
        except OSError:
            return None

    def _report(self, error: OSError, name: str = "") -> None:
        """Log the first of several failures in a row."""
        if not self._has_failed:
            what = f"file {self._directory / name}" if name else f"directory {self._directory}"
            log.warning("history %s: %s", what, error.strerror)
        self._has_failed = True


def _remove(directory: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except OSError:
        return  # somebody else did; what stays is looked at again at the next start
