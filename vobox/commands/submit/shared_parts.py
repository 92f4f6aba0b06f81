"""Do work once that is the same for all jobs of a queue statement.

A job's ad and task are made in parts (``job.py``), one after the other. While the first job is
made, each part is watched: which commands it reads, which results and attributes of earlier
parts. A part that reads nothing that differs from job to job is not made again: the other jobs
get its result, and in their ads what it wrote. A cluster of 10,000 jobs then costs little more
than what differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar, overload

from vobox.classad.ad import Ad, Items

from .job_commands import Commands

T = TypeVar("T")


class _Reads:
    """What the part in the making has read.

    Parts and ads refer to this and not to ``SharedParts``, which refers to them: in a cycle, the
    files of a submit would be in memory until the garbage collector comes by.
    """

    def __init__(self) -> None:
        self.varying = False  #: whether it has read what differs from job to job


class Part(Generic[T]):
    """The result of one part of a job."""

    def __init__(self, reads: _Reads, result: T, varies: bool) -> None:
        self._reads = reads
        self._result = result
        self.varies = varies  #: whether it is made again for each job

    @property
    def value(self) -> T:
        """The result. A part that reads the result of one that varies varies as well."""
        if self.varies:
            self._reads.varying = True
        return self._result

    def update(self, result: T) -> None:
        """Take the result for the next job."""
        self._result = result


class Changes(NamedTuple):
    """What a part wrote into the ad; names in lower case."""

    kept: Items
    deleted: list[str]

    def merge_with(self, later: Changes) -> bool:
        """Make these and the changes after them one; False where the order would be lost."""
        if not later.kept.keys().isdisjoint(self.deleted):
            return False
        self.kept.update(later.kept)
        for name in later.deleted:
            self.kept.pop(name, None)
            self.deleted.append(name)
        return True


class FirstAd(Ad):
    """The ad of the first job, which notes what each part reads and writes."""

    def __init__(self, reads: _Reads) -> None:
        super().__init__()
        self._reads = reads
        self._written: dict[str, None] = {}  # by the present part; lower case
        self._varying: set[str] = set()  # written by a part that varies

    def __getitem__(self, name: str) -> str:
        self._note_read(name)
        return super().__getitem__(name)

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, /, default: str | T) -> str | T: ...
    def get(self, name: str, /, default: object = None) -> object:
        """Return the attribute's text, and note that it was read."""
        self._note_read(name)
        return super().get(name, default)

    def __setitem__(self, name: str, expression: str) -> None:
        super().__setitem__(name, expression)
        self._written[name.lower()] = None

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self._written[name.lower()] = None

    def end_part(self, varies: bool) -> Changes:
        """Return what was written since the last call; ``varies``: by a part that varies."""
        written, self._written = self._written, {}
        self._varying = self._varying | set(written) if varies else self._varying - set(written)
        kept: Items = {name: self._items[name] for name in written if name in self._items}
        return Changes(kept, [name for name in written if name not in self._items])

    def _note_read(self, name: str) -> None:
        if name.lower() in self._varying:
            self._reads.varying = True


class SharedParts:
    """The parts of the jobs of one queue statement: the same calls of ``make`` for each job."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._reads = _Reads()
        self._first: FirstAd | None = None  #: while the first job is made
        self._ad = Ad()
        #: every part, with what it wrote for the first job and the others get as well
        self._steps: list[tuple[Part[Any], Changes | None]] = []
        self._start: Items | None = None  #: what the ads of all other jobs begin with
        self._next: Iterator[tuple[Part[Any], Changes | None]] = iter(())

    def begin_job(self) -> Ad:
        """Return the ad of the next job, in which its parts write."""
        if self._first is None and self._start is None:
            self._first = FirstAd(self._reads)
            return self._first
        if self._start is None:
            self._start = self._merge_changes()
            self._first = None
        self._next = iter(self._steps)
        self._ad = Ad.of_items(self._start.copy())
        return self._ad

    def make(
        self, function: Callable[[], T], *, reads: tuple[Part[Any], ...] = (),
        for_each_job: bool = False,
    ) -> Part[T]:  # fmt: skip
        """Make the next part of the job, if it is not the same as for the job before.

        :param function: writes into the job's ad and returns the part's result
        :param reads: parts that it depends on other than by their results and by single
            attributes (those are noticed)
        :param for_each_job: whether no two jobs have it in common
        :raises SubmitError: what the function raises
        """
        if self._first is not None:
            return self._make_first(function, self._first, reads, for_each_job)
        step, changes = next(self._next)
        part: Part[T] = step
        if part.varies:
            part.update(function())
        elif changes is not None:
            self._ad.repeat(*changes)
        return part

    def _make_first(
        self, function: Callable[[], T], ad: FirstAd, reads: tuple[Part[Any], ...],
        for_each_job: bool,
    ) -> Part[T]:  # fmt: skip
        commands = self._commands
        self._reads.varying = for_each_job or any(part.varies for part in reads)
        used, commands.used = commands.used, set()
        result = function()
        varies = self._reads.varying or bool(commands.used & commands.varying)
        commands.used |= used
        part = Part(self._reads, result, varies)
        self._steps.append((part, ad.end_part(varies)))
        return part

    def _merge_changes(self) -> Items:
        """Join the changes of shared parts that follow each other; return the first of them."""
        merged: list[tuple[Part[Any], Changes | None]] = []
        start = Changes({}, [])
        before: Changes | None = start
        for part, changes in self._steps:
            if part.varies or changes is None:
                before = None
            elif before is not None and before.merge_with(changes):
                changes = None
            else:
                before = changes
            merged.append((part, changes))
        self._steps = [
            (part, None if changes is None or not any(changes) else changes)
            for part, changes in merged
        ]
        return start.kept
