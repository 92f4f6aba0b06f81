"""A job's standard output and error: two files in its scratch directory, kept open.

So what was written is found even if the job removes a file or replaces it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import IO

from thyme.protocol.hold_codes import HoldReasonCode
from thyme.protocol.job import LARGEST_STREAM

from .start_errors import translate_start_error

_MODE = 0o644


class Streams:
    """The open files, by name. To be used as the job's user."""

    def __init__(self, top: Path) -> None:
        self._top = top
        self._files: dict[str, IO[bytes]] = {}

    def open(self, name: str) -> IO[bytes]:
        """Open the file for a stream, empty; raises NodeUnfit or CannotStart."""
        path = os.path.join(self._top, name)  # noqa: PTH118
        try:
            if name in self._files:
                # an input file may have its name
                os.ftruncate(self._files[name].fileno(), 0)
            else:
                self._files[name] = open(path, "w+b", buffering=0, opener=_open_for_append)  # noqa: SIM115
        except OSError as error:
            raise translate_start_error(
                error, HoldReasonCode.UNABLE_TO_OPEN_OUTPUT, f"Failed to open '{path}'"
            ) from error
        return self._files[name]

    def read(self, name: str, limit: int) -> bytes:
        """Return at most about ``limit`` bytes of a stream; the middle of a longer one is cut."""
        source = self._files.get(name)
        if source is None:
            return b""
        limit = min(limit, LARGEST_STREAM)
        size = os.fstat(source.fileno()).st_size
        if size <= limit:
            return os.pread(source.fileno(), size, 0)
        head = os.pread(source.fileno(), limit // 2, 0)
        rest = limit - len(head)
        tail = os.pread(source.fileno(), rest, size - rest)
        cut = size - len(head) - len(tail)
        note = f"\n[thyme-worker: {cut} bytes cut here; the job wrote {size}]\n".encode()
        return head + note + tail

    def get_names(self) -> set[str]:
        """Return the names of the open files."""
        return set(self._files)

    def truncate(self) -> None:
        """Empty all files; raises OSError."""
        for file in self._files.values():
            os.lseek(file.fileno(), 0, os.SEEK_SET)
            os.ftruncate(file.fileno(), 0)

    def are_unchanged(self) -> bool:
        """Return whether each file is where it was, with its modes and no second name."""
        return all(self._is_unchanged(name, file) for name, file in self._files.items())

    def _is_unchanged(self, name: str, file: IO[bytes]) -> bool:
        here, held = os.lstat(os.path.join(self._top, name)), os.fstat(file.fileno())  # noqa: PTH118
        return (
            (here.st_dev, here.st_ino) == (held.st_dev, held.st_ino)
            and held.st_nlink == 1
            and held.st_mode == stat.S_IFREG | _MODE
            and not os.listxattr(file.fileno())
        )

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()


def _open_for_append(path: str, flags: int) -> int:
    # appending, as HTCondor opens them: two writers do not overwrite each other
    return os.open(path, flags | os.O_APPEND | os.O_NOFOLLOW, _MODE)
