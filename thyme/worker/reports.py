"""Builds the messages that report the end of an attempt."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, replace

from thyme.errors import MessageTooLarge
from thyme.protocol import codec
from thyme.protocol.events import Evicted, Finished, HoldReason, Message, Submit, Usage
from thyme.protocol.hold_codes import HoldReasonCode

from .availability import WorkerIdentity
from .executor import ExecutionResult
from .sandbox import STDERR, STDOUT, Sandbox
from .start_errors import one_line


@dataclass(frozen=True)
class Report:
    """A message's kind and bytes; within the size limit of a message, whatever the job left."""

    kind: str
    body: bytes


class ReportBuilder:
    """Builds the reports of one worker; ``wall`` returns seconds since the epoch."""

    def __init__(self, identity: WorkerIdentity, wall: Callable[[], float]) -> None:
        self._worker, self._slot, self._wall = identity.name, identity.slot, wall

    def build_evicted(
        self, job: Submit, reason: str, usage: Usage, outcome: ExecutionResult | None = None
    ) -> Report:
        """Report that the attempt was ended before its time; ``outcome``: None if never started.

        ``reason``: for the job's ad and user log; ``usage``: what the run used.
        """
        message = Evicted(
            job.schedd, job.job, self._wall(), job.attempt, self._worker, self._slot, reason, usage,
            outcome.exit_code if outcome else None, outcome.signal if outcome else None,
            life=job.life,
        )  # fmt: skip
        return Report(message.kind, codec.encode(message))

    def build_finished(self, job: Submit, outcome: ExecutionResult, sandbox: Sandbox) -> Report:
        """Report that the job ended by itself; results that cannot be fetched hold it.

        ``outcome``: how its process ended; ``sandbox``: where its output is.
        """
        task = job.task
        with sandbox.user.acting():  # also while the files are read, bit by bit
            if outcome.dumped_by and not task.directory:
                core = sandbox.rename_core_file(outcome.dumped_by, job.job)
                if core and task.output_files is not None:
                    task = replace(task, output_files=(*task.output_files, core))
            files, hold = sandbox.collect_outputs(task)
            if hold is not None and hold.code == HoldReasonCode.TRANSFER_OUTPUT_ERROR:
                hold = replace(hold, text=_describe_transfer(self._slot, job.schedd) + hold.text)
            message = replace(
                self._build(job, hold, outcome.usage, sandbox),
                exit_code=outcome.exit_code,
                signal=outcome.signal,
                files=files,
            )
            return Report(message.kind, encode_within_limit(message))

    def build_held(
        self, job: Submit, outcome: ExecutionResult, sandbox: Sandbox, hold: HoldReason
    ) -> Report:
        """Report that the job was ended for exceeding a limit, and is held for it.

        ``outcome``: how its process ended; ``sandbox``: where its output is; ``hold``: the limit.
        """
        message = replace(
            self._build(job, hold, outcome.usage, sandbox),
            exit_code=outcome.exit_code,
            signal=outcome.signal,
        )
        return Report(message.kind, encode_within_limit(message))

    def build_not_started(self, job: Submit, hold: HoldReason) -> Report:
        """Report that the job could not be started."""
        message = self._build(job, hold, Usage(), None)
        return Report(message.kind, codec.encode(message))

    def _build(
        self, job: Submit, hold: HoldReason | None, usage: Usage, sandbox: Sandbox | None
    ) -> Finished:
        limit = job.task.max_stream
        stdout, stderr = (
            b"" if sandbox is None else sandbox.read_stream(name, limit)
            for name in (STDOUT, STDERR)
        )
        return Finished(
            job.schedd, job.job, self._wall(), job.attempt, self._worker, self._slot,
            None, None, usage, stdout, stderr, (), hold, life=job.life,
        )  # fmt: skip


def _describe_transfer(slot: str, schedd: str) -> str:
    return (
        f"Transfer output files failure at execution point {slot} while sending files to "
        f"access point {schedd}. Details: "
    )


def encode_within_limit(message: Message) -> bytes:
    """Encode a message; a result that is too large, or cannot be read, goes without its files.

    Its job is then held, with the reason.
    """
    try:
        return codec.encode(message)
    except (MessageTooLarge, OSError) as error:
        if not isinstance(message, Finished):
            raise
        number = errno.EFBIG if isinstance(error, MessageTooLarge) else error.errno or 0
        reason = error.strerror if isinstance(error, OSError) else str(error)
        what = _describe_transfer(message.host, message.schedd)
        text = one_line(what, f"(errno {number}) {reason}")
        # stdout and stderr alone always fit: LARGEST_STREAM
        hold = HoldReason(HoldReasonCode.TRANSFER_OUTPUT_ERROR, number, text)
        return codec.encode(replace(message, files=(), hold=hold))
