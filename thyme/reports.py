"""What a worker says of the end of an attempt."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace

from . import codec
from .errors import MessageTooLarge
from .executor import Outcome
from .faults import OUTPUT_FAILED
from .message import Evicted, Finished, HoldReason, Message, Submit, Usage
from .sandbox import STDERR, STDOUT, Sandbox


class Reporter:
    """Makes the reports of one worker; ``wall`` is the wall clock (seconds since the epoch)."""

    def __init__(self, worker: str, slot: str, wall: Callable[[], float]) -> None:
        self._worker = worker
        self._slot = slot
        self._wall = wall

    def evicted(self, job: Submit, reason: str, usage: Usage) -> Evicted:
        """It was ended before its time."""
        return Evicted(
            job.schedd, job.job, self._wall(), job.attempt, self._worker, self._slot, reason, usage
        )

    def finished(self, job: Submit, outcome: Outcome, sandbox: Sandbox) -> Finished:
        """It ended by itself; a result that cannot be fetched holds the job, its exit code kept."""
        files, hold = sandbox.outputs(job.task)
        limit = job.task.max_stream
        return Finished(
            job.schedd, job.job, self._wall(), job.attempt, self._worker, self._slot,
            outcome.exit_code, outcome.signal, outcome.usage,
            sandbox.stream(STDOUT, limit), sandbox.stream(STDERR, limit), files, hold,
        )  # fmt: skip

    def never_ran(self, job: Submit, hold: HoldReason) -> Finished:
        """It could not be started at all."""
        return Finished(
            job.schedd, job.job, self._wall(), job.attempt, self._worker, self._slot,
            None, None, Usage(), b"", b"", (), hold,
        )  # fmt: skip


def encode_fitting(message: Message) -> bytes:
    """The message's bytes; a result over the size limit goes without its files, held for it."""
    try:
        return codec.encode(message)
    except MessageTooLarge as error:
        if not isinstance(message, Finished):
            raise
        text = f"Failed to send output files: (errno={errno.EFBIG}) {error}"
        # stdout and stderr alone always fit: LARGEST_STREAM
        hold = HoldReason(OUTPUT_FAILED, errno.EFBIG, text)
        return codec.encode(replace(message, files=(), hold=hold))
