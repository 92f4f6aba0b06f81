"""Which jobs a round of policies has to look at as a whole: those of which an expression fires.

Of all others only that is read which their expressions look at. Jobs that were submitted alike
have the expressions in common, and they are parsed once a slice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from thyme.protocol.job import JobId
from vobox.classad.ad import ParseError
from vobox.classad.bound_expression import Prepared, plain_value
from vobox.classad.expressions import compile_expression
from vobox.classad.literals import NOT_LITERAL, literal_value
from vobox.jobs.live_usage import LIVE_ATTRIBUTES
from vobox.jobs.policy import truth
from vobox.jobs.status import COMPLETED, HELD, REMOVED, RUNNING, SUSPENDED
from vobox.ledger import row_codec
from vobox.ledger.ad_shapes import reached
from vobox.ledger.ad_templates import Shape
from vobox.ledger.rows import Row

_LIMITS: Final = ("allowedjobduration", "allowedexecuteduration")
#: The job has no such expression, or it is none that ever fires.
_NEVER: Final = None


class _Asked(NamedTuple):
    """An expression that the jobs of a shape have; ``prepared``: None where only whole ads do."""

    prepared: Prepared | None
    #: of what it looks at: lower-case name, place in the row (-1: not there), the template's value
    own: tuple[tuple[str, int, Any], ...]
    is_live: bool


_WHOLE: Final = _Asked(None, (), is_live=False)


class PolicyPrefilter:
    """For jobs of one moment; ``live`` as in ``PolicyScan``."""

    def __init__(self, live: Callable[[JobId], Mapping[str, str]], now: float) -> None:
        self._live = live
        self._now = now
        self._asked: dict[tuple[int, str], _Asked | None] = {}

    def may_fire(self, row: Row) -> bool:
        """Whether there may be something to do; False only where there is nothing."""
        if row.status in (COMPLETED, REMOVED):
            return True  # whether it leaves the queue is not asked here
        runs = row.status in (RUNNING, SUSPENDED)
        if runs and any(_has(row.shape, name) for name in _LIMITS):
            return True
        first = "periodicrelease" if row.status == HELD else "periodichold"
        live = self._live(row.id) if runs else {}
        values: list[str | None] | None = None
        for name in (first, "periodicremove"):
            key = (row.number, name)
            if key not in self._asked:
                self._asked[key] = self._ask(row.shape, name)
            asked = self._asked[key]
            if asked is _NEVER:
                continue
            if asked.prepared is None:
                return True
            if values is None:
                values = row_codec.read(row.values)
            known = [
                template if place < 0 else plain_value(values[place])
                for _name, place, template in asked.own
            ]
            if live and asked.is_live:
                lows = {each.lower(): text for each, text in live.items()}
                for place, (low, _place, _template) in enumerate(asked.own):
                    if low in lows:
                        known[place] = plain_value(lows[low])
            value = asked.prepared.value(known)
            if value is NOT_LITERAL or truth(value) is True:
                return True
        return False

    def _ask(self, shape: Shape, name: str) -> _Asked | None:
        if name in shape.lows:
            return _WHOLE  # it differs from job to job
        _name, text = shape.template.get(name, ("", None))
        if text is None or truth(literal_value(text)) is False:
            return _NEVER
        try:
            compiled = compile_expression(text)
            # what workers tell is a job's own, too, and never followed further
            names = None if compiled.unbounded else reached(shape, compiled.names, LIVE_ATTRIBUTES)
            if names is None:
                return _WHOLE
            places = {low: place for place, low in enumerate(shape.lows)}
            own = [
                (low, places.get(low, -1), plain_value(shape.template.get(low, ("", None))[1]))
                for low in sorted(names)
                if low in places or low in LIVE_ATTRIBUTES
            ]
            lows = {low for low, _place, _template in own}
            items = ((low, shape.template.get(low, ("", None))[1]) for low in names - lows)
            common = {low: text for low, text in items if text is not None}
            prepared = Prepared(text, common, [low for low, _place, _template in own], self._now)
        except (ParseError, ValueError):
            return _WHOLE
        return _Asked(prepared, tuple(own), not lows.isdisjoint(LIVE_ATTRIBUTES))


def _has(shape: Shape, name: str) -> bool:
    return name in shape.template or name in shape.lows
