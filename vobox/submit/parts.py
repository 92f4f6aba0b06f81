"""What the jobs of one cluster share: made for the first of them, copied for the others.

A job's ad is made part by part (``job.py``). A part whose commands are the same
for every job of the queue statement, because none of them names a macro that
differs, is made once; what it put into the ad is put into the next ones as it
is. A cluster of 10,000 jobs then costs little more than what differs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ..ads import Ad, Items
from .commands import Commands

T = TypeVar("T")


class Draft(Ad):
    """A job's ad in the making, which knows what was last written and deleted."""

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

    def changes(self) -> tuple[Items, tuple[str, ...]]:
        """What was set since ``watch``, and what was deleted."""
        kept: Items = {name: self._items[name] for name in self._written if name in self._items}
        return kept, tuple(name for name in self._written if name not in self._items)

    def repeat(self, kept: Items, deleted: tuple[str, ...]) -> None:
        """Make the same changes to this ad."""
        self._items.update(kept)
        for name in deleted:
            self._items.pop(name, None)


@dataclass(frozen=True)
class _Made:
    result: Any
    kept: Items
    deleted: tuple[str, ...]


class Parts:
    """The parts of the jobs of one queue statement, one job after the other."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._made: dict[str, _Made] = {}
        self._own: set[str] = set()  #: parts that each job has for itself
        self.ad = Draft()

    def begin(self) -> Draft:
        """Start the next job; returns its ad, empty."""
        self.ad = Draft()
        return self.ad

    def part(self, name: str, section: Callable[[], T], *after: str) -> T:
        """What ``section`` returns, having written into ``ad``.

        ``after``: the parts whose results or attributes it reads; they are made
        before it. All else that it reads are commands, and files, which are
        looked at once in a submit. Raises what ``section`` raises.
        """
        made = self._made.get(name)
        if made is not None:
            self.ad.repeat(made.kept, made.deleted)
            return made.result  # type: ignore[no-any-return]
        if name in self._own:
            return section()
        self.ad.watch()
        used, self._commands.used = self._commands.used, set()
        result = section()
        touched = self._commands.used
        self._commands.used = used | touched
        if touched & self._commands.varying or self._own.intersection(after):
            self._own.add(name)
        else:
            self._made[name] = _Made(result, *self.ad.changes())
        return result
