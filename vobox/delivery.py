"""Writes what a job leaves on the submit host: its output and its user log.

Both may be asked for again after a crash: output files are written whole, and
a log event that the file already holds is not added (``once``). Whatever the
names lead to, nothing here waits: a pipe without a reader is an error.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from thyme.job import SandboxFile
from thyme.message import Finished, HoldReason

from .owner import as_owner
from .state import Job

#: HTCondor's HoldReasonCodes: output could not be written; the user log could not.
OUTPUT_ERROR, LOG_ERROR = 12, 22

#: Never block: a job's owner may name a pipe, and one thread writes for all owners.
_FLAGS = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def write_log(job: Job, text: str, once: bool) -> HoldReason | None:
    """Append events to the job's user log; the reason to hold it if that cannot be done.

    ``once``: leave out what the file holds already.
    """
    path = job.ad.text("UserLog")
    if not path:
        return None
    event = text.encode("utf-8", "surrogateescape")
    try:
        with as_owner(job.uid, job.gid):
            if once and event in _content(path):
                return None
            # one write() an event, so that readers and other writers see whole events
            handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _FLAGS, 0o664)
            try:
                if os.write(handle, event) < len(event):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(handle)
    except (OSError, ValueError) as error:
        number, reason = _described(error)
        return HoldReason(LOG_ERROR, number, f"Failed to initialize user log to {path}: {reason}")
    return None


def _content(path: str) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | _FLAGS)
    except FileNotFoundError:
        return b""
    with os.fdopen(handle, "rb") as file:
        return file.read() if stat.S_ISREG(os.fstat(handle).st_mode) else b""


def write_output(job: Job, result: Finished) -> HoldReason | None:
    """Write stdout, stderr and files; the reason to hold the job if that cannot be done."""
    for file, make_parents in _targets(job, result):
        path = Path(file.name)
        try:
            with as_owner(job.uid, job.gid):
                if make_parents:
                    path.parent.mkdir(parents=True, exist_ok=True)
                _write(path, file)
        except (OSError, ValueError) as error:
            number, reason = _described(error)
            return HoldReason(
                OUTPUT_ERROR,
                number,
                f"Transfer output files failure at access point {os.uname().nodename} while "
                f"receiving files from the execution point. Details: writing {path}: "
                f"(errno={number}) {reason}",
            )
    return None


def _targets(job: Job, result: Finished) -> list[tuple[SandboxFile, bool]]:
    """What to write under which absolute name, and whether its directory may be made.

    It is for what came out of a directory of the sandbox alone: a directory
    that the description names has to be there, as with HTCondor.
    """
    ad = job.ad
    iwd = ad.text("Iwd", "/")
    mapping = remaps(ad.text("TransferOutputRemaps"))
    found = []
    for file in result.files:
        where = os.path.join(iwd, mapping.get(file.name, file.name))  # noqa: PTH118 (keeps "//")
        inner = "/" in file.name and file.name not in mapping
        found.append((SandboxFile(where, file.data, file.mode), inner))
    streams: dict[str, bytes] = {}
    for name, data in (("Out", result.stdout), ("Err", result.stderr)):
        where = os.path.normpath(Path(iwd, ad.text(name, os.devnull)))
        if where != os.devnull and ad.get(f"Transfer{name}", "true").lower() != "false":
            # both into one file: neither cuts the other off
            streams[where] = streams.get(where, b"") + data
    found += [(SandboxFile(where, data), False) for where, data in streams.items()]
    return found


def _write(path: Path, file: SandboxFile) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _FLAGS
    try:
        handle = os.open(path, flags, file.mode)
    except PermissionError:
        # a read-only file that the job's last run left, or that we wrote before a crash
        if not _is_plain_file(path):
            raise
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        handle = os.open(path, flags | os.O_EXCL, file.mode)
    with os.fdopen(handle, "wb") as target:
        target.write(file.data)


def _is_plain_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def remaps(text: str) -> dict[str, str]:
    """transfer_output_remaps ``a=b;c=d``: name in the sandbox → where it goes."""
    pairs = (entry.partition("=") for entry in text.split(";"))
    return {name.strip(): target.strip() for name, equals, target in pairs if equals}


def _described(error: OSError | ValueError) -> tuple[int, str]:
    """errno and text; a name with a NUL in it is no OSError."""
    if isinstance(error, OSError):
        return error.errno or 0, error.strerror or str(error)
    return errno.EINVAL, str(error)
