"""What the jobs of one cluster share: made for the first of them, copied for the others.

A job's ad is made part by part (``job.py``). A part whose commands are the same
for every job of the queue statement, because none of them names a macro that
differs, is made once; what it put into the ad is put into the next ones as it
is. A cluster of 10,000 jobs then costs little more than what differs.

A part must therefore get all it reads from commands, from files, or from parts that it names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from vobox.classad.ad import Ad, Items, SharedItems

from .job_commands import Commands


class Draft(Ad):
    """The ad of the first job in the making, which knows what was last written and deleted."""

    def __init__(self) -> None:
        super().__init__()
        self._written: dict[str, None] = {}  # lower case

    def __setitem__(self, name: str, expression: str) -> None:
        super().__setitem__(name, expression)
        self._written[name.lower()] = None

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self._written[name.lower()] = None

    def watch(self) -> None:
        """Forget what was written so far; it stays in the ad."""
        self._written = {}

    def changes(self) -> Changes:
        """What was written since ``watch``."""
        kept: Items = {name: self._items[name] for name in self._written if name in self._items}
        return Changes(kept, [name for name in self._written if name not in self._items])


class Changes(NamedTuple):
    """What a part, or some that follow each other, did to the ad; names in lower case."""

    kept: Items
    deleted: list[str]

    def take_in(self, later: Changes) -> bool:
        """Make them one change with those after them; False where the order would be lost."""
        if not later.kept.keys().isdisjoint(self.deleted):
            return False
        self.kept.update(later.kept)
        for name in later.deleted:
            self.kept.pop(name, None)
            self.deleted.append(name)
        return True


class Part(NamedTuple):
    """A part of a job: writes into the ad, and keeps its result where others find it.

    ``after``: the parts whose results or attributes it reads; they are made before it. All else
    that it reads are commands, and files, which are looked at once in a submit. ``own``: no two
    jobs have it in common.
    """

    name: str
    make: Callable[[Ad], None]
    after: tuple[str, ...] = ()
    own: bool = False


class Parts:
    """The parts of the jobs of one queue statement, one job after the other."""

    def __init__(self, commands: Commands, parts: Sequence[Part]) -> None:
        self._commands = commands
        self._parts = parts
        #: how every job but the first is made: what is the same for all, or a part of its own
        self._steps: list[Changes | Part] | None = None
        #: what all of them begin with
        self._start = SharedItems({})

    def make(self) -> Ad:
        """The next job's ad. Raises what the parts raise."""
        if self._steps is None:
            return self._first()
        ad = Ad.of_items({}, self._start)
        for step in self._steps:
            if isinstance(step, Part):
                step.make(ad)
            else:
                ad.repeat(*step)
        return ad

    def _first(self) -> Ad:
        ad = Draft()
        steps: list[Changes | Part] = []
        for step in self._made(ad):
            before = steps[-1] if steps else None
            if not (
                isinstance(step, Changes) and isinstance(before, Changes) and before.take_in(step)
            ):
                steps.append(step)
        start = steps[0] if steps else None
        if isinstance(start, Changes):
            self._start = SharedItems(start.kept)
            del steps[0]
        self._steps = [step for step in steps if isinstance(step, Part) or any(step)]
        return ad

    def _made(self, ad: Draft) -> Iterator[Changes | Part]:
        """Each part, made for the first job: as it is to be made for the others."""
        own: set[str] = set()
        for part in self._parts:
            ad.watch()
            used, self._commands.used = self._commands.used, set()
            part.make(ad)
            touched = self._commands.used
            self._commands.used = used | touched
            varies = bool(touched & self._commands.varying) or not own.isdisjoint(part.after)
            if part.own or varies:
                own.add(part.name)
                yield part
            else:
                yield ad.changes()
