"""One job: its commands → its ad and its task."""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from operator import is_

from thyme.job import DEFAULT_MAX_OUTPUT, Task

from ..ads import Ad, quote
from ..matching import can_match
from ..rpc_types import PreparedJob
from .arguments import arguments
from .cargo import FileStore
from .commands import Commands
from .credentials import Credential, credentials_of, record_credentials
from .ending import ending, record_hold, record_signal
from .environment import environment
from .errors import bad_job
from .expressions import integer_value
from .jobad import Submission, first_ad, name_job, record_custom, record_presentation
from .load import Load, hold, load, record_sizes
from .parts import Parts
from .policies import record_policies
from .program import Program, program
from .recorded import record, refuse_unsupported
from .requirements import record_requirements
from .resources import record_requests
from .spooling import record_spooling
from .streams import record_log, standard_input, standard_output
from .transfer import Transfer, check_remaps, output_names, transfer
from .universe import universe


@dataclass(frozen=True)
class Submitter:
    """Whoever ran condor_submit, and where."""

    cwd: str
    env: Mapping[str, str]
    uid: int
    allow_crlf: bool = False


@dataclass(frozen=True)
class Job:
    prepared: PreparedJob
    warnings: list[str] = field(default_factory=list)


class JobMaker:
    """Makes the jobs of one queue statement, one after the other.

    What is the same for all of them is made once (``parts.py``): each part names
    the parts before it that it reads.
    """

    def __init__(
        self, commands: Commands, submission: Submission, submitter: Submitter, store: FileStore
    ) -> None:
        self._commands = commands
        self._submission = submission
        self._submitter = submitter
        self._store = store
        self._parts = Parts(commands)
        #: the last task, and what it was made of
        self._last: tuple[tuple[object, ...], Task] | None = None

    def make(self, proc: int) -> Job:
        """The job with that number, of what the commands were turned to.

        Raises Refusal for what HTCondor refuses and for what cannot be honoured.
        """
        # fmt: off
        commands, of, who, store = self._commands, self._submission, self._submitter, self._store
        ad, part = self._parts.begin(), self._parts.part
        part("first", lambda: first_ad(of, ad))
        part("refused", lambda: refuse_unsupported(commands))
        kind = part("universe", lambda: universe(commands, ad, of.schedd))
        iwd = part("iwd", lambda: _iwd(commands, ad, who.cwd, store))
        moved = part("transfer", lambda: transfer(commands, ad, of.domain, kind.is_grid),
                     "universe")
        runs = part("program", lambda: program(commands, ad, store, moved.sandbox, who.cwd, iwd,
                                               who.allow_crlf),
                    "transfer", "iwd")
        words = part("arguments", lambda: arguments(commands, ad))
        variables = part("environment", lambda: environment(commands, ad, who.env))
        stdin = part("stdin", lambda: standard_input(commands, ad))
        merged = part("stdout", lambda: standard_output(commands, ad))
        part("log", lambda: record_log(commands, ad, iwd), "iwd")
        credentials = part("credentials", lambda: credentials_of(commands, iwd, who.env, who.uid,
                                                                 store, of.now),
                           "iwd")
        asked = part("requests", lambda: record_requests(commands, ad, not kind.to_batch),
                     "universe")
        warnings = part("policies", lambda: record_policies(commands, ad, kind.is_vanilla),
                        "universe")
        part("presentation", lambda: record_presentation(commands, ad, of.owner))
        part("signal", lambda: record_signal(commands, ad, kind.is_grid), "universe")
        held = part("hold", lambda: record_hold(commands, ad))
        part("table", lambda: record(commands, ad))
        part("requirements", lambda: record_requirements(commands, ad, asked, kind),
             "universe", "transfer", "requests", "table")
        part("credential ads", lambda: record_credentials(credentials, ad), "credentials")
        cargo = part("cargo", lambda: load(commands, store, runs, stdin, moved, credentials, iwd),
                     "program", "stdin", "transfer", "credentials", "iwd")
        part("sizes", lambda: record_sizes(commands, ad, runs, cargo.size), "program", "cargo")
        part("spooling", lambda: record_spooling(commands, ad, of),
             "iwd", "program", "transfer", "policies")
        part("custom", lambda: record_custom(commands, ad))
        frame = part("task", lambda: _frame(commands, ad, runs, credentials, moved, cargo, iwd),
                     "program", "credentials", "transfer", "cargo", "iwd", "signal", "policies",
                     "table", "custom")
        given = part("variables", lambda: _with_paths(variables, credentials),
                     "environment", "credentials")
        name_job(of, proc, ad, kind.grid_prefix)
        if cargo.missing is not None and not held:
            held = True
            hold(ad, cargo.missing)
        task = self._task(frame, words, given, merged)
        fits = part("matching", lambda: _can_match(commands, ad, of.now), "requirements", "custom",
                    "requests", "policies", "presentation", "table")
        # fmt: on
        return Job(PreparedJob(proc, ad, task, held, not held and not fits), warnings)

    def _task(
        self, frame: Task, words: tuple[str, ...], given: dict[str, str], merged: bool
    ) -> Task:
        """One object as long as it is made of the same parts."""
        parts = (frame, words, given, merged)
        if self._last is None or not all(map(is_, self._last[0], parts)):
            task = replace(frame, arguments=words, environment=given, merge_stderr=merged)
            self._last = parts, task
        return self._last[1]


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


def _can_match(commands: Commands, ad: Ad, now: float) -> bool:
    asked = commands.get("requirements", "MY.Requirements")
    if asked is not None and "procid" in asked.lower():
        commands.get("process")  # the answer is this job's own
    return asked is None or can_match(ad, now)


def _frame(
    commands: Commands,
    ad: Ad,
    runs: Program,
    credentials: tuple[Credential, ...],
    moved: Transfer,
    cargo: Load,
    iwd: str,
) -> Task:
    """The task but for its arguments and environment; raises Refusal."""
    check_remaps(ad)
    return Task(
        executable=runs.command,
        scratch_env=tuple(each.variable for each in credentials),
        files=cargo.files,
        stdin=cargo.stdin,
        directory="" if moved.sandbox else iwd,
        output_files=output_names(ad) if moved.sandbox else (),
        max_output=_max_output(ad),
        **ending(commands, ad),
    )


def _max_output(ad: Ad) -> int:
    limit = integer_value(ad.get("MaxTransferOutputMB", "-1"))
    if limit is None or limit < 0:
        return DEFAULT_MAX_OUTPUT
    return min(limit * 1024**2, DEFAULT_MAX_OUTPUT)


def _with_paths(variables: dict[str, str], credentials: tuple[Credential, ...]) -> dict[str, str]:
    """The environment; the worker makes these names paths (``scratch_env``)."""
    return {**variables, **{each.variable: each.name for each in credentials}}
