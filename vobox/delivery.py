"""Writes what a job leaves on the submit host: its output and its user log.

Both may be asked for again after a crash: output files are written whole, and
a log event that the file already holds is not added (``once``).
"""

from __future__ import annotations

import os
from pathlib import Path

from thyme.job import SandboxFile
from thyme.message import Finished, HoldReason

from .fold import Job
from .owner import as_owner

#: HTCondor's HoldReasonCodes: output could not be written; the user log could not.
OUTPUT_ERROR, LOG_ERROR = 12, 22


def write_log(job: Job, text: str, once: bool) -> HoldReason | None:
    """Append events to the job's user log; the reason to hold it if that cannot be done.

    ``once``: leave out what the file holds already.
    """
    path = job.ad.text("UserLog")
    if not path:
        return None
    try:
        with as_owner(job.uid, job.gid):
            if once and text in _content(path):
                return None
            # one write() an event, so that readers and other writers see whole events
            handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o664)
            try:
                os.write(handle, text.encode())
            finally:
                os.close(handle)
    except OSError as error:
        return HoldReason(
            LOG_ERROR,
            error.errno or 0,
            f"Failed to initialize user log to {path}: {error.strerror}",
        )
    return None


def _content(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except FileNotFoundError:
        return ""


def write_output(job: Job, result: Finished) -> HoldReason | None:
    """Write stdout, stderr and files; the reason to hold the job if that cannot be done."""
    ad = job.ad
    iwd = Path(ad.text("Iwd", "/"))
    mapping = remaps(ad.text("TransferOutputRemaps"))
    files = [
        SandboxFile(mapping.get(file.name, file.name), file.data, file.mode)
        for file in result.files
    ]
    out, err = ad.text("Out", os.devnull), ad.text("Err", os.devnull)
    files.append(SandboxFile(out, result.stdout, 0o644))
    if err != out:
        files.append(SandboxFile(err, result.stderr, 0o644))
    for file in files:
        path = iwd / file.name
        if str(path) == os.devnull:
            continue
        try:
            with as_owner(job.uid, job.gid):
                if "/" in file.name and not Path(file.name).is_absolute():
                    path.parent.mkdir(parents=True, exist_ok=True)
                _write(path, file)
        except OSError as error:
            return HoldReason(
                OUTPUT_ERROR,
                error.errno or 0,
                f"Transfer output files failure at access point {os.uname().nodename} while "
                f"receiving files from the execution point. Details: writing {path}: "
                f"(errno={error.errno}) {error.strerror}",
            )
    return None


def _write(path: Path, file: SandboxFile) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, file.mode)
    with os.fdopen(handle, "wb") as target:
        target.write(file.data)


def remaps(text: str) -> dict[str, str]:
    """transfer_output_remaps ``a=b;c=d``: name in the sandbox → where it goes."""
    pairs = (entry.partition("=") for entry in text.split(";"))
    return {name.strip(): target.strip() for name, equals, target in pairs if equals}
