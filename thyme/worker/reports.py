"""What a worker says of the end of an attempt."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, replace

from thyme.errors import MessageTooLarge
from thyme.protocol import codec
from thyme.protocol.events import Evicted, Finished, HoldReason, Message, Submit, Usage
from thyme.protocol.hold_codes import HoldReasonCode

from .executor import ExecutionResult
from .sandbox import STDERR, STDOUT, Sandbox
from .start_errors import one_line


@dataclass(frozen=True)
class Report:
    """The kind of the message and its bytes: at most one message's size, whatever the job left."""

    kind: str
    body: bytes


class ReportBuilder:
    """Makes the reports of one worker; ``wall`` is the wall clock (seconds since the epoch)."""

    def __init__(self, worker: str, slot: str, wall: Callable[[], float]) -> None:
        self._worker = worker
        self._slot = slot
        self._wall = wall

    def evicted(self, job: Submit, reason: str, usage: Usage) -> Report:
        """It was ended before its time."""
        message = Evicted(
            job.schedd, job.job, self._wall(), job.attempt, self._worker, self._slot, reason, usage
        )
        return Report(message.kind, codec.encode(message))

    def finished(self, job: Submit, outcome: ExecutionResult, sandbox: Sandbox) -> Report:
        """It ended by itself; a result that cannot be fetched holds the job, its exit code kept."""
        files, hold = sandbox.outputs(job.task)
        message = replace(
            self._finished(job, hold, outcome.usage, sandbox),
            exit_code=outcome.exit_code,
            signal=outcome.signal,
            files=files,
        )
        with sandbox.user.acting():  # the files are read now, bit by bit
            return Report(message.kind, encode_within_limit(message))

    def ended(
        self, job: Submit, outcome: ExecutionResult, sandbox: Sandbox, hold: HoldReason
    ) -> Report:
        """It was ended for taking too much, and is held; how it then exited means nothing."""
        message = self._finished(job, hold, outcome.usage, sandbox)
        return Report(message.kind, encode_within_limit(message))

    def never_ran(self, job: Submit, hold: HoldReason) -> Report:
        """It could not be started at all."""
        message = self._finished(job, hold, Usage(), None)
        return Report(message.kind, codec.encode(message))

    def _finished(
        self, job: Submit, hold: HoldReason | None, usage: Usage, sandbox: Sandbox | None
    ) -> Finished:
        limit = job.task.max_stream
        stdout, stderr = (
            b"" if sandbox is None else sandbox.stream(name, limit) for name in (STDOUT, STDERR)
        )
        return Finished(
            job.schedd, job.job, self._wall(), job.attempt, self._worker, self._slot,
            None, None, usage, stdout, stderr, (), hold,
        )  # fmt: skip


def encode_within_limit(message: Message) -> bytes:
    """The message's bytes; a result that does not fit, or that the disk does not give back, goes
    without its files, held for it."""
    try:
        return codec.encode(message)
    except (MessageTooLarge, OSError) as error:
        if not isinstance(message, Finished):
            raise
        number = errno.EFBIG if isinstance(error, MessageTooLarge) else error.errno or 0
        reason = error.strerror if isinstance(error, OSError) else str(error)
        text = one_line("Failed to send output files", f": (errno={number}) {reason}")
        # stdout and stderr alone always fit: LARGEST_STREAM
        hold = HoldReason(HoldReasonCode.TRANSFER_OUTPUT_ERROR, number, text)
        return codec.encode(replace(message, files=(), hold=hold))
