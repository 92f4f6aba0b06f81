"""The messages of one condor_submit: all are known to be sound before the first is published.

Most jobs of a cluster differ from the one before in their number alone. Such a message needs no
bytes to be checked: they are made while the broker stores those before it, which it would wait
for otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from thyme.errors import BadMessage
from thyme.protocol.batch_encoder import Alike
from thyme.protocol.blobs import MAX_SIZE
from thyme.protocol.codec import to_json
from thyme.protocol.events import JobMessage, Recorded, Submit
from thyme.protocol.job import Task
from vobox.rpc.types import PreparedJob, SubmitRefused

#: Bytes of messages of one submit: of all, as many may be in memory until the broker has them.
MAX_SUBMIT: Final = 1024**3

Make = Callable[[PreparedJob, Task], Submit | Recorded]


class SubmitBatch:
    """``published``: the messages so far, by their bytes."""

    def __init__(self, cluster: int, jobs: Sequence[PreparedJob], make: Make, lease: float) -> None:
        """``lease``: seconds, of the jobs that ask for none. Raises SubmitRefused."""
        self.published: dict[bytes, JobMessage] = {}
        self.queued = [each for each in jobs if not each.is_recorded]
        self.recorded = [each for each in jobs if each.is_recorded]
        self._cluster, self._make = cluster, make
        self._task = _Leased(lease).task
        self._encode = Alike().encode
        #: those that had to be made to be checked, by the job's number
        self._made: dict[int, tuple[bytes, JobMessage]] = {}
        size = 0
        for some in (self.queued, self.recorded):
            for length in self._checked(some):
                size += length
                if size > MAX_SUBMIT:
                    raise SubmitRefused(
                        f"these {len(jobs)} jobs carry their files with them, more than "
                        f"{MAX_SUBMIT} bytes together; submit fewer at once, or let them fetch "
                        "large files"
                    )

    def bodies(self, jobs: Sequence[PreparedJob]) -> Iterator[bytes]:
        """Their messages, one by one. Raises SubmitRefused for what was not foreseen."""
        for each in jobs:
            made = self._made.pop(each.proc) if each.proc in self._made else self._encoded(each)
            body, message = made
            self.published[body] = message
            yield body

    def _encoded(self, each: PreparedJob) -> tuple[bytes, JobMessage]:
        message = self._make(each, self._task(each.task))
        try:
            return self._encode(message), message
        except BadMessage as error:
            raise SubmitRefused(f"job {self._cluster}.{each.proc}: {error}") from error

    def _checked(self, jobs: Sequence[PreparedJob]) -> Iterator[int]:
        """The bytes of each message; raises SubmitRefused."""
        last = _Own(None)
        length = 0
        for each in jobs:
            own = _Own(each)
            longer = own.size - last.size
            if own.is_like(last) and length + longer <= MAX_SIZE:
                length += longer
            else:
                self._made[each.proc] = made = self._encoded(each)
                length = len(made[0])
            last = own
            yield length


class _Own:
    """What a job's message says that those of jobs made like it say in another way."""

    __slots__ = ("_names", "_task", "_template", "size")

    def __init__(self, job: PreparedJob | None) -> None:
        self._task = job.task if job else None
        self._template = job.ad.template if job else None
        self._names: list[str] | None = None
        #: bytes of it; of an ad that has nothing in common with others it is not asked for
        self.size = 0
        if job and self._template:
            texts = job.ad.difference()
            if None not in texts.values():
                self._names = list(texts)
                self.size = sum(map(len, map(to_json, texts.values()))) + len(str(job.proc))

    def is_like(self, last: _Own) -> bool:
        """Whether the messages differ in nothing else."""
        return (
            self._names is not None
            and self._task is last._task
            and self._template is last._template
            and self._names == last._names
        )


class _Leased:
    """Tasks with the schedd's lease where they name none; one task stays one object."""

    def __init__(self, lease: float) -> None:
        """``lease`` in seconds."""
        self._lease = lease
        self._last: tuple[Task, Task] | None = None

    def task(self, task: Task) -> Task:
        if task.lease:
            return task
        if self._last is None or self._last[0] is not task:
            self._last = task, replace(task, lease=self._lease)
        return self._last[1]
