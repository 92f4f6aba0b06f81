"""Collect the files that travel with a job: its program, its input, its credentials."""

from __future__ import annotations

import errno
import os
import posixpath
from dataclasses import dataclass

from thyme.protocol.events import HoldReason
from thyme.protocol.hold_codes import HoldReasonCode
from thyme.protocol.job import SandboxFile
from vobox.classad.ad import Ad, quote
from vobox.jobs.ad_updates import round_up_size
from vobox.jobs.status import HELD

from .credentials import Credential
from .errors import job_error
from .expressions import find_constant_integer
from .input_files import FileCache, JobFiles
from .job_commands import Commands
from .macros import fill_machine_defaults
from .program import Program
from .resources import parse_size
from .streams import StandardInput
from .transfer import TransferSettings


@dataclass(frozen=True)
class Payload:
    """The files of one job."""

    files: tuple[SandboxFile, ...]
    size: int  #: bytes, all together
    stdin: str  #: the task's
    missing: HoldReason | None  #: why the job cannot run, if so


def build_payload(
    commands: Commands,
    store: FileCache,
    program: Program,
    source: StandardInput,
    transfer: TransferSettings,
    credentials: tuple[Credential, ...],
    iwd: str,
) -> Payload:
    """Read the files that travel.

    :param source: the job's stdin
    :param iwd: the job's directory on the submit host, where relative paths begin
    :raises SubmitError: for more than a message carries
    """
    files = JobFiles(store)
    if program.sent is not None:
        files.add(program.command, program.sent, 0o755)
    stdin, path = "", ""
    missing = None
    try:
        for item in transfer.inputs:
            path = posixpath.join(iwd, item)
            files.add_entry(
                fill_machine_defaults("transfer_input_files", item), iwd, transfer.keep_paths
            )
        if source.name != os.devnull:
            name = fill_machine_defaults("input", source.name)
            path = posixpath.join(iwd, name)
            if source.sent and transfer.sandbox:
                stdin = posixpath.basename(name)
                files.add(stdin, store.read(path), 0o644)
            else:
                stdin = name if transfer.sandbox else path
    except OSError as error:
        number = error.errno or errno.EIO
        missing = _build_input_failure(number, f"reading from file {path}: (errno {number}) "
                                 f"{os.strerror(number)}")  # fmt: skip
    # last: no input file of that name takes their place
    if program.sent is not None:
        files.add(program.command, program.sent, 0o755)
    for each in credentials:
        files.add(each.name, each.data, 0o600)
    return Payload(
        files.files, files.size, stdin, missing or _check_input_size(commands, files.size)
    )


def _build_input_failure(number: int, details: str) -> HoldReason:
    text = (
        f"Transfer input files failure at access point {os.uname().nodename} while sending "
        f"files to the execution point. Details: {details}"
    )
    return HoldReason(HoldReasonCode.TRANSFER_INPUT_ERROR, number, text)


def _check_input_size(commands: Commands, total: int) -> HoldReason | None:
    text = commands.get("max_transfer_input_mb", "MaxTransferInputMB")
    limit = None if text is None else find_constant_integer(text)
    if limit is None or limit < 0 or total <= limit * 1024**2:
        return None
    text = (
        f"TransferInputSizeMB ({-(-total // 1024**2)}) is greater than MAX_TRANSFER_INPUT_MB "
        f"({limit}) at submit time"
    )
    return HoldReason(HoldReasonCode.MAX_TRANSFER_INPUT_SIZE_EXCEEDED, 0, text)


def record_sizes(commands: Commands, ad: Ad, program: Program, total: int) -> None:
    """Record the sizes; ``total``: bytes that travel. Raises SubmitError.

    ``commands``: of the submit description; ``ad``: of the job, which is changed.
    """
    kib = (program.size + 1023) // 1024
    _record_size(ad, "ExecutableSize", kib)
    disk = max((total + 1023) // 1024, kib)
    _record_size(ad, "DiskUsage", disk)
    ad["TransferInputSizeMB"] = str((disk + 1023) // 1024)
    _record_size(ad, "ImageSize", kib)
    if text := commands.get("disk_usage", "DiskUsage"):
        disk = parse_size(text, 1) or 0
        if disk < 1:
            raise job_error(f"'{text}' is not valid for disk_usage. It must be >= 1")
        _record_size(ad, "DiskUsage", disk)
        del ad["TransferInputSizeMB"]
    if text := commands.get("image_size", "ImageSize"):
        image = parse_size(text, 1)
        if image is None or image < 1:
            problem = f"\nERROR: '{text}' is not valid for Image Size" if image is None else ""
            raise job_error(f"Image Size must be positive{problem}")
        _record_size(ad, "ImageSize", image)


def _record_size(ad: Ad, name: str, kib: int) -> None:
    """Record a size rounded, as HTCondor's schedd does, and as it is."""
    ad[name], ad[f"{name}_RAW"] = str(round_up_size(kib)), str(kib)


def mark_held(ad: Ad, reason: HoldReason) -> None:
    """Submit the job on hold, for this reason."""
    ad["JobStatus"] = str(HELD)
    ad["HoldReason"] = quote(reason.text)
    ad["HoldReasonCode"] = str(reason.code)
    ad["HoldReasonSubCode"] = str(reason.subcode)
