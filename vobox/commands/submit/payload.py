"""What travels with a job: its program, its input, its credentials; and how much that is."""

from __future__ import annotations

import errno
import os
import posixpath
from dataclasses import dataclass

from thyme.protocol.events import HoldReason
from thyme.protocol.job import SandboxFile
from vobox.classad.ad import Ad, quote
from vobox.jobs.status import HELD

from .credentials import Credential
from .errors import bad_job
from .expressions import integer_value
from .input_files import Cargo, FileStore
from .job_commands import Commands
from .matching import filled
from .program import SENT_NAME, Program
from .resources import size
from .streams import Stdin
from .transfer import Transfer

#: HTCondor's HoldReasonCodes: input cannot be transferred; more input than the job allows.
TRANSFER_INPUT_ERROR, TOO_MUCH_INPUT = 13, 32


@dataclass(frozen=True)
class Load:
    files: tuple[SandboxFile, ...]
    size: int  #: bytes, all together
    stdin: str  #: the task's
    missing: HoldReason | None  #: why the job cannot run, if so


def load(
    commands: Commands,
    store: FileStore,
    runs: Program,
    source: Stdin,
    moved: Transfer,
    credentials: tuple[Credential, ...],
    iwd: str,
) -> Load:
    """Read what travels. Raises Refusal for more than a message carries."""
    cargo = Cargo(store)
    if runs.sent is not None:
        cargo.add(SENT_NAME, runs.sent, 0o755)
    stdin, path = "", ""
    missing = None
    try:
        for item in moved.inputs:
            path = posixpath.join(iwd, item)
            cargo.load(filled("transfer_input_files", item), iwd, moved.keep_paths)
        if source.name != os.devnull:
            name = filled("input", source.name)
            path = posixpath.join(iwd, name)
            if source.sent and moved.sandbox:
                stdin = posixpath.basename(name)
                cargo.add(stdin, store.read(path), 0o644)
            else:
                stdin = name if moved.sandbox else path
    except OSError as error:
        number = error.errno or errno.EIO
        missing = _input_failure(number, f"reading from file {path}: (errno {number}) "
                                 f"{os.strerror(number)}")  # fmt: skip
    for each in credentials:  # last: no input file of that name takes its place
        cargo.add(each.name, each.data, 0o600)
    return Load(cargo.files, cargo.size, stdin, missing or _too_much(commands, cargo.size))


def _input_failure(number: int, details: str, code: int = TRANSFER_INPUT_ERROR) -> HoldReason:
    text = (
        f"Transfer input files failure at access point {os.uname().nodename} while sending "
        f"files to the execution point. Details: {details}"
    )
    return HoldReason(code, number, text)


def _too_much(commands: Commands, total: int) -> HoldReason | None:
    text = commands.get("max_transfer_input_mb", "MaxTransferInputMB")
    limit = None if text is None else integer_value(text)
    if limit is None or limit < 0 or total <= limit * 1024**2:
        return None
    details = f"{total} bytes of input are more than max_transfer_input_mb = {limit} allows"
    return _input_failure(0, details, TOO_MUCH_INPUT)


def record_sizes(commands: Commands, ad: Ad, runs: Program, total: int) -> None:
    """``total``: bytes that travel. Raises Refusal."""
    kib = (runs.size + 1023) // 1024
    ad["ExecutableSize"] = str(kib)
    ad["DiskUsage"] = str(max((total + 1023) // 1024, kib))
    ad["TransferInputSizeMB"] = str(total // 1024**2)
    ad["ImageSize"] = str(kib)
    if text := commands.get("image_size", "ImageSize"):
        image = size(text, 1)
        if image is None or image < 1:
            raise bad_job("Image Size must be positive")
        ad["ImageSize"] = str(image)


def hold(ad: Ad, reason: HoldReason) -> None:
    """The job begins its life held."""
    ad["JobStatus"] = str(HELD)
    ad["HoldReason"] = quote(reason.text)
    ad["HoldReasonCode"] = str(reason.code)
    ad["HoldReasonSubCode"] = str(reason.subcode)
