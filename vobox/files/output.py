"""Write what a job leaves on the submit host: its output and its user log.

Both may be asked for again after a crash: output files are written whole, and
a log event that the file already holds is not added (``once``). Whatever the
names lead to, nothing here waits: a pipe without a reader is an error.

A job is Completed (JobStatus 4) only when its output and the last line of its user log are on the
submit host; until then it is TransferringOutput (6). If the output cannot be written, the job is
held with code 12 (22 for the user log) and its result stays in the stream: ``condor_release``
delivers it again without running the job again.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import posixpath
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from thyme.protocol.events import Finished, HoldReason
from thyme.protocol.hold_codes import HoldReasonCode
from thyme.protocol.job import SandboxFile
from vobox.classad.ad import Ad
from vobox.jobs.job import Job
from vobox.jobs.job_ad_information import format_job_ad_information
from vobox.jobs.output_destination import is_output, is_spooled, parse_output_remaps
from vobox.jobs.user_log_xml import convert_to_xml

from .as_user import as_owner
from .safe_open import open_file, open_handle
from .user_log_index import UserLogIndex

log = logging.getLogger(__name__)

#: Modes of the directories that are made for output, for output with preserve_relative_paths, and
#: for a user log; HTCondor's. A directory that comes back from the node has its own mode.
_OUTPUT_DIRECTORY, _KEPT_DIRECTORY, _LOG_DIRECTORY = 0o700, 0o755, 0o755
_WRITABLE = 0o222


def write_log(job: Job, text: str, once: bool, user_logs: UserLogIndex) -> HoldReason | None:
    """Append an event to the job's user log.

    ``text``: the whole event; ``once``: leave it out if the file has it already, which is looked
    up in ``user_logs``. Returns the reason to hold the job if the log cannot be written.
    """
    path = job.ad.text("UserLog")
    if not path:
        return None
    if is_in_xml(job.ad):
        text, after = convert_to_xml(text), ""
    else:
        after = format_job_ad_information(text, job.ad)
    event, information = (each.encode("utf-8", "surrogateescape") for each in (text, after))
    try:
        with as_owner(job.uid, job.gid):
            if once and user_logs.has_event(path, event):
                return None
            # one write() an event, so that readers and other writers see whole events
            handle = _open_log(path)
            if handle is None:
                return None
            try:
                if os.write(handle, event + information) < len(event + information):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(handle)
            if once:
                user_logs.add(path, event)
                user_logs.add(path, information)
    except (OSError, ValueError) as error:
        number, reason = _describe(error)
        return HoldReason(
            HoldReasonCode.UNABLE_TO_INIT_USER_LOG,
            number,
            f"Failed to initialize user log to {path}: {reason}",
        )
    return None


def is_in_xml(ad: Ad) -> bool:
    """Return whether the job's user log is in XML (``log_xml = true``)."""
    return ad.get("UserLogUseXML", "false").lower() == "true"


def _open_log(path: str) -> int | None:
    """Open a user log for one more event; raises OSError.

    None where it is the user's own file that he may not write, as HTCondor does: then the job
    runs without a log.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    try:
        return open_handle(path, flags, 0o664)
    except FileNotFoundError:
        _make_directories(Path(path).parent, _LOG_DIRECTORY)
        return open_handle(path, flags, 0o664)
    except PermissionError:
        if _is_plain_file(Path(path)) and not os.stat(path).st_mode & _WRITABLE:  # noqa: PTH116
            return None
        raise


def write_output(job: Job, result: Finished) -> HoldReason | None:
    """Write stdout, stderr and files; returns the reason to hold the job if that fails.

    A spooled job's output is not written: it waits for condor_transfer_data.
    """
    return None if is_spooled(job.ad) else fetch_output(job, result)


def fetch_output(job: Job, result: Finished) -> HoldReason | None:
    """Do as ``write_output``, also for a spooled job."""
    keeps_paths = job.ad.get("PreserveRelativePaths", "false") == "true"
    mode = _KEPT_DIRECTORY if keeps_paths else _OUTPUT_DIRECTORY
    for file in _list_targets(job, result):
        path = Path(file.name)
        try:
            with as_owner(job.uid, job.gid):
                _make_directories(path.parent, mode)
                if file.is_directory:
                    if not path.exists():
                        path.mkdir()
                        path.chmod(file.mode | _OUTPUT_DIRECTORY)
                    continue
                _write(path, file)
        except (OSError, ValueError) as error:
            number, reason = _describe(error)
            return HoldReason(
                HoldReasonCode.TRANSFER_OUTPUT_ERROR,
                number,
                f"Transfer output files failure at access point {os.uname().nodename} while "
                f"receiving files from the execution point. Details: writing to file {path}: "
                f"(errno {number}) {reason}",
            )
    return None


def _make_directories(path: Path, mode: int) -> None:
    """Make a directory and those above it that are missing; raises OSError."""
    missing = []
    while not path.exists() and path != path.parent:
        missing.append(path)
        path = path.parent
    for each in reversed(missing):
        with contextlib.suppress(FileExistsError):
            each.mkdir(mode)


def _list_targets(job: Job, result: Finished) -> list[SandboxFile]:
    """List the files with their absolute names."""
    ad = job.ad
    iwd = ad.text("Iwd", "/")
    mapping = parse_output_remaps(ad.text("TransferOutputRemaps"))
    kept = _list_kept_paths(ad)
    found = []
    unasked = [file.name for file in result.files if not is_output(ad, file.name)]
    if unasked:  # one line, however many a worker sends
        more = f" and {len(unasked) - 1} more files" if len(unasked) > 1 else ""
        log.warning(
            "job %s: its worker sent %r%s, for which it did not ask", job.id, unasked[0][:255], more
        )
    for file in result.files:
        if not is_output(ad, file.name):
            continue
        target = _remap(file.name, mapping)
        if target == file.name and (head := kept.get(target.partition("/")[0])):
            target = posixpath.join(head, target)
        where = os.path.join(iwd, target)  # noqa: PTH118 (keeps "//")
        found.append(replace(file, name=where))
    streams: dict[str, bytes] = {}
    for name, data in (("Out", result.stdout), ("Err", result.stderr)):
        where = os.path.normpath(Path(iwd, ad.text(name, os.devnull)))
        if where != os.devnull and ad.get(f"Transfer{name}", "true").lower() != "false":
            # both into one file: neither truncates the other
            streams[where] = streams.get(where, b"") + data
    found += [SandboxFile(where, data) for where, data in streams.items()]
    return found


def _list_kept_paths(ad: Ad) -> dict[str, str]:
    """Map an output's base name to its directory, for preserve_relative_paths."""
    if ad.get("PreserveRelativePaths", "false") != "true":
        return {}
    paths = [name.strip().rstrip("/") for name in ad.text("TransferOutput").split(",")]
    return {
        posixpath.basename(path): head
        for path in paths
        if (head := posixpath.normpath(posixpath.dirname(path) or "."))
        and head != "."
        and not head.startswith(("/", ".."))
    }


def _remap(name: str, mapping: Mapping[str, str]) -> str:
    """Return where a file of the sandbox goes.

    The remap of a directory is valid for all files in it. A target that ends in
    ``/`` is a directory.
    """
    if name in mapping:
        target = mapping[name]
        return target + posixpath.basename(name) if target.endswith("/") else target
    head, inner = posixpath.dirname(name), posixpath.basename(name)
    while head:
        if head in mapping:
            target = mapping[head]
            if target.endswith("/"):
                target += posixpath.basename(head)
            return posixpath.join(target, inner)
        inner = posixpath.join(posixpath.basename(head), inner)
        head = posixpath.dirname(head)
    return name


def _write(path: Path, file: SandboxFile) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    try:
        target = open_file(path, flags, file.mode)
    except PermissionError:
        # a read-only file that the job's last run left, or that we wrote before a crash
        if not _is_plain_file(path):
            raise
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        target = open_file(path, flags | os.O_EXCL, file.mode)
    with target:
        if stat.S_ISREG(os.fstat(target.fileno()).st_mode):
            # HTCondor, too, gives it the mode of the job's file, also where it was there before
            with contextlib.suppress(PermissionError):  # the file of another user
                os.fchmod(target.fileno(), file.mode)
        target.write(file.data)


def _is_plain_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _describe(error: OSError | ValueError) -> tuple[int, str]:
    """Return errno and text; a name with a NUL in it raises ValueError, not OSError."""
    if isinstance(error, OSError):
        return error.errno or 0, error.strerror or str(error)
    return errno.EINVAL, str(error)
