"""Make a job's ad and task from its commands."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace

from thyme.protocol.job import DEFAULT_MAX_OUTPUT, Task
from vobox.classad.ad import Ad, quote
from vobox.classad.cost import Stopwatch
from vobox.jobs.requirements import can_match
from vobox.rpc.types import PreparedJob

from .arguments import record_arguments
from .base_attributes import (
    Submission,
    find_mistakes,
    record_common,
    record_custom,
    record_identity,
    record_presentation,
)
from .credentials import Credential, read_credentials, record_credentials
from .environment import record_environment
from .errors import job_error
from .expressions import find_constant_integer
from .input_files import FileCache
from .job_commands import Commands
from .kill_and_hold import read_run_limits, record_hold_command, record_kill_signal
from .payload import Payload, build_payload, mark_held, record_sizes
from .policies import record_policies
from .program import Program, record_program
from .requirements import record_requirements
from .resources import record_requests
from .shared_parts import SharedParts
from .spooling import record_spooling
from .streams import make_absolute, record_log, record_stdin, record_stdout_and_stderr
from .table_driven import check_without_effect, record_table_commands, refuse_unsupported
from .transfer import TransferSettings, check_remaps, read_output_names, record_transfer
from .universe import record_universe


@dataclass(frozen=True)
class Submitter:
    """The user that ran condor_submit, and where."""

    cwd: str
    env: Mapping[str, str]
    uid: int
    allow_crlf: bool = False


class JobMaker:
    """Makes the jobs of one queue statement, one after the other.

    What is the same for all of them is made once (``shared_parts.py``).
    """

    def __init__(
        self, commands: Commands, submission: Submission, submitter: Submitter, files: FileCache
    ) -> None:
        self._commands = commands
        self._submission = submission
        self._submitter = submitter
        self._files = files
        self._parts = SharedParts(commands)
        self._last_task: Task | None = None

    def make(self, proc: int) -> tuple[PreparedJob, list[str]]:
        """Make the next job, from the present values of the commands.

        :param proc: its number within the cluster
        :return: the job and the warnings about it
        :raises SubmitError: for what HTCondor refuses and for what cannot be honoured
        """
        commands, submission, submitter = self._commands, self._submission, self._submitter
        files, ad, part = self._files, self._parts.begin_job(), self._parts.make

        part(lambda: record_common(submission, ad))
        part(lambda: check_without_effect(commands))
        part(lambda: refuse_unsupported(commands))
        universe = part(lambda: record_universe(commands, ad, submission.schedd))
        iwd = part(lambda: _record_iwd(commands, ad, submitter.cwd, files))
        transfer = part(
            lambda: record_transfer(commands, ad, submission.domain, universe.value.is_grid)
        )
        program = part(
            lambda: record_program(
                commands, ad, files, transfer.value.sandbox, submitter.cwd, iwd.value,
                submitter.allow_crlf,
            )
        )  # fmt: skip
        arguments = part(lambda: record_arguments(commands, ad))
        environment = part(lambda: record_environment(commands, ad, submitter.env))
        stdin = part(lambda: record_stdin(commands, ad))
        merge_stderr = part(lambda: record_stdout_and_stderr(commands, ad))
        part(lambda: record_log(commands, ad, iwd.value))
        credentials = part(
            lambda: read_credentials(
                commands, iwd.value, submitter.env, submitter.uid, files, submission.now
            )
        )
        part(lambda: record_requests(commands, ad, not universe.value.to_batch))
        policies = part(lambda: record_policies(commands, ad, universe.value.is_vanilla))
        presentation = part(lambda: record_presentation(commands, ad, submission.owner))
        part(lambda: record_kill_signal(commands, ad, universe.value.is_grid))
        asked_to_hold = part(lambda: record_hold_command(commands, ad, submission.spooled))
        table = part(lambda: record_table_commands(commands, ad))
        requirements = part(lambda: record_requirements(commands, ad, universe.value))
        part(lambda: record_credentials(credentials.value, ad))
        payload = part(
            lambda: build_payload(
                commands, files, program.value, stdin.value, transfer.value, credentials.value,
                iwd.value,
            )
        )  # fmt: skip
        part(lambda: record_sizes(commands, ad, program.value, payload.value.size))
        part(lambda: record_spooling(commands, ad, submission))
        mistakes = part(lambda: find_mistakes(commands, ad, submission.domain))
        custom = part(lambda: record_custom(commands, ad, submission.owner))
        base_task = part(
            lambda: _build_base_task(
                commands, ad, program.value, credentials.value, transfer.value, payload.value,
                iwd.value,
            )
        )  # fmt: skip
        variables = part(lambda: _add_credentials(environment.value, credentials.value))
        part(
            lambda: record_identity(submission, proc, ad, universe.value.grid_prefix),
            for_each_job=True,
        )
        held = part(lambda: _hold_for_missing_input(ad, asked_to_hold.value, payload.value))
        task = part(
            lambda: self._build_task(
                base_task.value, arguments.value, variables.value, merge_stderr.value
            )
        )
        fits = part(
            lambda: _can_match(commands, ad, submission),
            reads=(policies, presentation, table, requirements, custom),
        )
        unmatched = not held.value and not fits.value
        return PreparedJob(proc, ad, task.value, held.value, unmatched), [
            *policies.value, *requirements.value, *mistakes.value,
        ]  # fmt: skip

    def _build_task(
        self,
        base: Task,
        arguments: tuple[str, ...],
        environment: dict[str, str],
        merge_stderr: bool,
    ) -> Task:
        """Return the whole task: one object as long as it says the same."""
        task = replace(
            base, arguments=arguments, environment=environment, merge_stderr=merge_stderr
        )
        if self._last_task != task:
            self._last_task = task
        return self._last_task


def _record_iwd(commands: Commands, ad: Ad, cwd: str, files: FileCache) -> str:
    given = commands.get("initialdir", "iwd") or commands.get("initial_dir", "job_iwd")
    iwd = make_absolute(cwd, given) if given else cwd
    try:
        there = stat.S_ISDIR(files.mode(iwd))
    except OSError:
        there = False
    if not there:
        raise job_error(f"No such directory: {iwd}")
    ad["Iwd"] = quote(iwd)
    return iwd


def _can_match(commands: Commands, ad: Ad, submission: Submission) -> bool:
    requirements = commands.get("requirements", "MY.Requirements")
    if requirements is not None and "procid" in requirements.lower():
        commands.get("process")  # the answer is this job's own
    with Stopwatch(submission.charge):
        return can_match(ad, submission.now, submission.list_pilots)


def _hold_for_missing_input(ad: Ad, asked_to_hold: bool, payload: Payload) -> bool:
    """Record a hold if input is missing; return whether the job is submitted on hold."""
    if payload.missing is not None and not asked_to_hold:
        mark_held(ad, payload.missing)
    return asked_to_hold or payload.missing is not None


def _build_base_task(
    commands: Commands,
    ad: Ad,
    program: Program,
    credentials: tuple[Credential, ...],
    transfer: TransferSettings,
    payload: Payload,
    iwd: str,
) -> Task:
    """Return the task without its arguments, environment and streams; raises SubmitError."""
    check_remaps(ad)
    return Task(
        executable=program.command,
        scratch_env=tuple(each.variable for each in credentials),
        files=payload.files,
        stdin=payload.stdin,
        directory="" if transfer.sandbox else iwd,
        output_files=read_output_names(ad) if transfer.sandbox else (),
        max_output=_read_max_output(ad),
        **read_run_limits(commands, ad),
    )


def _read_max_output(ad: Ad) -> int:
    limit = find_constant_integer(ad.get("MaxTransferOutputMB", "-1"))
    if limit is None or limit < 0:
        return DEFAULT_MAX_OUTPUT
    return min(limit * 1024**2, DEFAULT_MAX_OUTPUT)


def _add_credentials(
    environment: dict[str, str], credentials: tuple[Credential, ...]
) -> dict[str, str]:
    """Add the variables that name credentials; the worker makes the names paths (scratch_env)."""
    return {**environment, **{each.variable: each.name for each in credentials}}
