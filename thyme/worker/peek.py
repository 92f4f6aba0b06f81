"""Reads some bytes of a running job's files, for condor_tail."""

from __future__ import annotations

import os
import stat
from typing import Final

from thyme.protocol.mail import Peek, Peeked

from .sandbox import Sandbox

#: Bytes that one answer holds at most.
MAX_PEEK: Final = 1024 * 1024


def answer_peek(peek: Peek, sandbox: Sandbox | None) -> Peeked:
    """Answer a request for bytes of a file; never raises.

    ``sandbox``: of that attempt; None where it does not run here.
    """
    if sandbox is None:
        return _refuse(peek, "that attempt does not run here")
    parts = peek.name.split("/")
    if peek.name.startswith("/") or not {"", ".", ".."}.isdisjoint(parts):
        return _refuse(peek, "it is outside the scratch directory")
    try:
        with sandbox.user.acting():
            return _read(peek, sandbox)
    except (OSError, ValueError) as error:
        return _refuse(peek, getattr(error, "strerror", None) or str(error))


def _read(peek: Peek, sandbox: Sandbox) -> Peeked:
    # step by step, so that no link on the way leads out of the scratch directory
    *above, last = peek.name.split("/")
    directory = os.open(sandbox.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        for part in above:
            inside = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
            os.close(directory)
            directory = inside
        # opening a pipe must not block
        handle = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    finally:
        os.close(directory)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            return _refuse(peek, "not a regular file")
        limit = min(peek.limit, MAX_PEEK)
        offset = peek.offset if peek.offset >= 0 else status.st_size - limit
        offset = min(max(offset, 0), status.st_size)
        data = os.pread(handle, limit, offset)
    finally:
        os.close(handle)
    return _answer(peek, offset, status.st_size, data)


def _refuse(peek: Peek, reason: str) -> Peeked:
    return _answer(peek, 0, 0, b"", reason)


def _answer(peek: Peek, offset: int, size: int, data: bytes, reason: str = "") -> Peeked:
    about = (peek.schedd, peek.job, peek.attempt, peek.name)
    return Peeked(*about, offset, size, data, reason, life=peek.life)
