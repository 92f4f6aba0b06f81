"""One job: its commands → its ad and its task."""

from __future__ import annotations

import errno
import os
import posixpath
import signal
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict

from thyme.job import Task
from thyme.message import HoldReason

from ..ads import Ad, quote
from ..rpc_types import PreparedJob
from ..status import HELD
from .arguments import arguments
from .cargo import Cargo, FileStore
from .commands import Commands
from .environment import Environment, environment
from .errors import bad_job
from .expressions import boolean, integer, integer_value
from .jobad import Submission, first_ad, record_custom, record_presentation
from .matching import filled
from .policies import record_policies
from .program import Program, program
from .proxy import Proxy, proxy
from .recorded import record, record_concurrency, refuse_unsupported
from .requirements import record_requirements
from .resources import record_requests, size
from .streams import Streams, streams
from .transfer import Transfer, output_names, transfer
from .universe import GRID, VANILLA, record_grid, to_batch, universe

#: HTCondor's HoldReasonCodes: input cannot be transferred; asked for.
TRANSFER_INPUT_ERROR, SUBMITTED_ON_HOLD = 13, 15


@dataclass(frozen=True)
class Submitter:
    """Whoever ran condor_submit, and where."""

    cwd: str
    env: Mapping[str, str]
    uid: int
    allow_crlf: bool = False


class Ending(TypedDict, total=False):
    kill_signal: int
    kill_grace: float
    lease: float


@dataclass(frozen=True)
class Job:
    prepared: PreparedJob
    warnings: list[str] = field(default_factory=list)


def make_job(
    commands: Commands,
    proc: int,
    submission: Submission,
    submitter: Submitter,
    store: FileStore,
) -> Job:
    """Raises Refusal for what HTCondor refuses and for what cannot be honoured."""
    ad = first_ad(submission, proc)
    refuse_unsupported(commands)
    kind = universe(commands)
    ad["JobUniverse"] = str(kind)
    if kind == GRID:
        record_grid(commands, ad, f"{submission.cluster}.{proc}", submission.schedd)
    iwd = _iwd(commands, ad, submitter.cwd, store)
    moved = transfer(commands, ad, submission.domain, kind == GRID)
    cargo = Cargo(store)
    runs = program(commands, ad, cargo, moved.sandbox, submitter.cwd, iwd, submitter.allow_crlf)
    words = arguments(commands)
    words.record(ad)
    variables = environment(commands, submitter.env)
    variables.record(ad)
    flow = streams(commands, ad, iwd)
    credential = proxy(commands, iwd, submitter.env, submitter.uid, store, submission.now)
    asked = record_requests(commands, ad, defaults=not to_batch(ad))
    warnings = record_policies(commands, ad, kind == VANILLA)
    record_presentation(commands, ad, submission.owner)
    _record_signal(commands, ad, kind)
    held = _record_hold(commands, ad)
    record_concurrency(commands, ad)
    record(commands, ad)
    record_requirements(commands, ad, asked, kind == GRID)
    if credential is not None:
        credential.record(ad)
        cargo.add(posixpath.basename(credential.path), credential.data, 0o600)
    stdin, missing = _load(flow, moved, cargo, iwd)
    if missing is not None and not held:
        held = True
        _hold(ad, missing)
    _record_sizes(commands, ad, runs, cargo)
    record_custom(commands, ad)
    task = Task(
        executable=filled("executable", runs.command),
        arguments=tuple(filled("arguments", word) for word in words.words),
        environment=_variables(variables, credential),
        scratch_env=() if credential is None else ("X509_USER_PROXY",),
        files=cargo.files,
        stdin=stdin,
        directory="" if moved.sandbox else iwd,
        output_files=output_names(ad) if moved.sandbox else (),
        merge_stderr=flow.output == flow.error != os.devnull,
        **_ending(commands, ad),
    )
    return Job(PreparedJob(proc, ad, task, held), warnings)


def _iwd(commands: Commands, ad: Ad, cwd: str, store: FileStore) -> str:
    given = commands.get("initialdir", "iwd", "initial_dir", "job_iwd")
    iwd = posixpath.join(cwd, given) if given else cwd
    try:
        there = stat.S_ISDIR(store.mode(iwd))
    except OSError:
        there = False
    if not there:
        raise bad_job(f"No such directory: {iwd}")
    ad["Iwd"] = quote(iwd)
    return iwd


def _record_signal(commands: Commands, ad: Ad, kind: int) -> None:
    text = commands.get("kill_sig", "KillSig")
    if text is not None:
        ad["KillSig"] = quote(_signal_name(text))
    elif kind == GRID:
        ad["KillSig"] = '"SIGTERM"'
    if timeout := commands.get("kill_sig_timeout", "KillSigTimeout"):
        ad["KillSigTimeout"] = str(integer("kill_sig_timeout", timeout))


def _signal_name(text: str) -> str:
    try:
        number = int(text) if text.isdigit() else signal.Signals[text.upper()].value
        return signal.Signals(number).name
    except (KeyError, ValueError):
        raise bad_job(f"invalid signal {text}") from None


def _record_hold(commands: Commands, ad: Ad) -> bool:
    text = commands.get("hold")
    if text is None or not boolean("hold", text):
        return False
    _hold(ad, HoldReason(SUBMITTED_ON_HOLD, 0, "submitted on hold at user's request"))
    del ad["HoldReasonSubCode"]  # HTCondor gives none here
    return True


def _hold(ad: Ad, reason: HoldReason) -> None:
    ad["JobStatus"] = str(HELD)
    ad["HoldReason"] = quote(reason.text)
    ad["HoldReasonCode"] = str(reason.code)
    ad["HoldReasonSubCode"] = str(reason.subcode)


def _load(flow: Streams, moved: Transfer, cargo: Cargo, iwd: str) -> tuple[str, HoldReason | None]:
    """Load what travels; returns the task's stdin and why the job cannot run, if so."""
    stdin, path = "", ""
    try:
        for item in moved.inputs:
            path = posixpath.join(iwd, item)
            cargo.load(filled("transfer_input_files", item), iwd, moved.keep_paths)
        if flow.input != os.devnull:
            name = filled("input", flow.input)
            path = posixpath.join(iwd, name)
            if flow.send_input and moved.sandbox:
                stdin = posixpath.basename(name)
                cargo.add(stdin, cargo.store.read(path), 0o644)
            else:
                stdin = name if moved.sandbox else path
    except OSError as error:
        number = error.errno or errno.EIO
        text = (
            f"Transfer input files failure at access point {os.uname().nodename} while sending "
            f"files to the execution point. Details: reading from file {path}: "
            f"(errno {number}) {os.strerror(number)}"
        )
        return stdin, HoldReason(TRANSFER_INPUT_ERROR, number, text)
    return stdin, None


def _record_sizes(commands: Commands, ad: Ad, runs: Program, cargo: Cargo) -> None:
    kib = (runs.size + 1023) // 1024
    ad["ExecutableSize"] = str(kib)
    ad["DiskUsage"] = str(max((cargo.size + 1023) // 1024, kib))
    ad["TransferInputSizeMB"] = str(cargo.size // 1024**2)
    ad["ImageSize"] = str(kib)
    if text := commands.get("image_size", "ImageSize"):
        image = size(text, 1)
        if image is None or image < 1:
            raise bad_job("Image Size must be positive")
        ad["ImageSize"] = str(image)


def _variables(given: Environment, credential: Proxy | None) -> dict[str, str]:
    values = {name: filled(f"environment: {name}", v) for name, v in given.variables.items()}
    if credential is not None:
        values["X509_USER_PROXY"] = posixpath.basename(credential.path)
    return values


def _ending(commands: Commands, ad: Ad) -> Ending:
    """How the job is asked to end and how long it is believed without news.

    Read from the ad, where ``+KillSig`` may have had the last word.
    """
    ending: Ending = {"kill_signal": _signal_number(ad)}
    if "KillSigTimeout" in ad:
        ending["kill_grace"] = float(ad.number("KillSigTimeout"))
    # The ad says 2400 s where the description says nothing, as HTCondor's
    # does; the task then says 0, which is the schedd's own, shorter lease.
    lease = integer_value(ad.get("JobLeaseDuration", "0"))
    if lease and commands.get("job_lease_duration", "JobLeaseDuration", "MY.JobLeaseDuration"):
        ending["lease"] = float(lease)
    return ending


def _signal_number(ad: Ad) -> int:
    try:
        return signal.Signals[ad.text("KillSig", "SIGTERM")].value
    except KeyError:
        raise bad_job(f"invalid signal {ad['KillSig']}") from None
