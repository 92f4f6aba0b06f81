"""One job: its commands → its ad and its task."""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from operator import is_

from thyme.protocol.job import DEFAULT_MAX_OUTPUT, Task
from vobox.classad.ad import Ad, quote
from vobox.jobs.requirements import can_match
from vobox.rpc.types import PreparedJob

from .arguments import arguments
from .base_attributes import Submission, first_ad, name_job, record_custom, record_presentation
from .credentials import Credential, credentials_of, record_credentials
from .environment import environment
from .errors import bad_job
from .expressions import integer_value
from .input_files import FileStore
from .job_commands import Commands
from .kill_and_hold import ending, record_hold, record_signal
from .payload import Load, hold, load, record_sizes
from .policies import record_policies
from .program import Program, program
from .requirements import record_requirements
from .resources import record_requests
from .shared_parts import Part, Parts
from .spooling import record_spooling
from .streams import record_log, standard_input, standard_output
from .table_driven import record, refuse_unsupported
from .transfer import Transfer, check_remaps, output_names, transfer
from .universe import universe


@dataclass(frozen=True)
class Submitter:
    """Whoever ran condor_submit, and where."""

    cwd: str
    env: Mapping[str, str]
    uid: int
    allow_crlf: bool = False


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
        #: what to say of the job that was made last, or of the first one like it
        self.warnings: list[str] = []
        self._proc = 0
        #: the last task, and what it was made of
        self._last: tuple[tuple[object, ...], Task] | None = None
        of = submission
        self._parts = Parts(
            commands,
            (
                Part("first", lambda ad: first_ad(of, ad)),
                Part("refused", lambda _ad: refuse_unsupported(commands)),
                Part("universe", self._universe),
                Part("iwd", self._directory),
                Part("transfer", self._transfer, ("universe",)),
                Part("program", self._program, ("transfer", "iwd")),
                Part("arguments", self._arguments),
                Part("environment", self._environment),
                Part("stdin", self._input),
                Part("stdout", self._output),
                Part("log", lambda ad: record_log(commands, ad, self._iwd), ("iwd",)),
                Part("credentials", self._credentials, ("iwd",)),
                Part("requests", self._requests, ("universe",)),
                Part("policies", self._policies, ("universe",)),
                Part("presentation", lambda ad: record_presentation(commands, ad, of.owner)),
                Part("signal", self._signal, ("universe",)),
                Part("hold", self._hold),
                Part("table", lambda ad: record(commands, ad)),
                Part(
                    "requirements",
                    lambda ad: record_requirements(commands, ad, self._asked, self._kind),
                    ("universe", "transfer", "requests", "table"),
                ),
                Part(
                    "credential ads",
                    lambda ad: record_credentials(self._found, ad),
                    ("credentials",),
                ),
                Part(
                    "cargo", self._load, ("program", "stdin", "transfer", "credentials", "iwd")
                ),
                Part("sizes", self._sizes, ("program", "cargo")),
                Part(
                    "spooling",
                    lambda ad: record_spooling(commands, ad, of),
                    ("iwd", "program", "transfer", "policies"),
                ),
                Part("custom", lambda ad: record_custom(commands, ad)),
                Part(
                    "frame",
                    self._task_but_for_words,
                    ("program", "credentials", "transfer", "cargo", "iwd", "signal", "policies",
                     "table", "custom"),
                ),
                Part("variables", self._variables, ("environment", "credentials")),
                Part("name", self._name, own=True),
                Part("missing", self._hold_for_missing, ("cargo", "hold")),
                Part("task", self._whole_task, ("frame", "arguments", "variables", "stdout")),
                Part(
                    "matching",
                    self._match,
                    ("requirements", "custom", "requests", "policies", "presentation", "table"),
                ),
            ),
        )  # fmt: skip

    def make(self, proc: int) -> PreparedJob:
        """The job with that number, of what the commands were turned to.

        Raises Refusal for what HTCondor refuses and for what cannot be honoured.
        """
        self._proc = proc
        ad = self._parts.make()
        return PreparedJob(proc, ad, self._task, self._held, not self._held and not self._fits)

    # --- the parts that others read -----------------------------------------------------

    def _universe(self, ad: Ad) -> None:
        self._kind = universe(self._commands, ad, self._submission.schedd)

    def _directory(self, ad: Ad) -> None:
        self._iwd = _iwd(self._commands, ad, self._submitter.cwd, self._store)

    def _transfer(self, ad: Ad) -> None:
        domain = self._submission.domain
        self._moved = transfer(self._commands, ad, domain, self._kind.is_grid)

    def _program(self, ad: Ad) -> None:
        who = self._submitter
        self._runs = program(
            self._commands, ad, self._store, self._moved.sandbox, who.cwd, self._iwd, who.allow_crlf
        )

    def _arguments(self, ad: Ad) -> None:
        self._words = arguments(self._commands, ad)

    def _environment(self, ad: Ad) -> None:
        self._given = environment(self._commands, ad, self._submitter.env)

    def _input(self, ad: Ad) -> None:
        self._stdin = standard_input(self._commands, ad)

    def _output(self, ad: Ad) -> None:
        self._merged = standard_output(self._commands, ad)

    def _credentials(self, _ad: Ad) -> None:
        who = self._submitter
        self._found = credentials_of(
            self._commands, self._iwd, who.env, who.uid, self._store, self._submission.now
        )

    def _requests(self, ad: Ad) -> None:
        self._asked = record_requests(self._commands, ad, not self._kind.to_batch)

    def _policies(self, ad: Ad) -> None:
        self.warnings = record_policies(self._commands, ad, self._kind.is_vanilla)

    def _signal(self, ad: Ad) -> None:
        record_signal(self._commands, ad, self._kind.is_grid)

    def _hold(self, ad: Ad) -> None:
        self._held = self._asked_to_hold = record_hold(self._commands, ad)

    def _load(self, _ad: Ad) -> None:
        self._cargo = load(
            self._commands, self._store, self._runs, self._stdin, self._moved, self._found,
            self._iwd,
        )  # fmt: skip

    def _sizes(self, ad: Ad) -> None:
        record_sizes(self._commands, ad, self._runs, self._cargo.size)

    def _variables(self, _ad: Ad) -> None:
        self._environ = _with_paths(self._given, self._found)

    def _name(self, ad: Ad) -> None:
        name_job(self._submission, self._proc, ad, self._kind.grid_prefix)

    def _hold_for_missing(self, ad: Ad) -> None:
        missing = self._cargo.missing
        self._held = self._asked_to_hold or missing is not None
        if missing is not None and not self._asked_to_hold:
            hold(ad, missing)

    def _match(self, ad: Ad) -> None:
        self._fits = _can_match(self._commands, ad, self._submission.now)

    def _task_but_for_words(self, ad: Ad) -> None:
        self._frame = _frame(
            self._commands, ad, self._runs, self._found, self._moved, self._cargo, self._iwd
        )

    def _whole_task(self, _ad: Ad) -> None:
        """One object as long as it is made of the same parts."""
        parts = (self._frame, self._words, self._environ, self._merged)
        if self._last is None or not all(map(is_, self._last[0], parts)):
            task = replace(
                self._frame, arguments=self._words, environment=self._environ,
                merge_stderr=self._merged,
            )  # fmt: skip
            self._last = parts, task
        self._task = self._last[1]


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
