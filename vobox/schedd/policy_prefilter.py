"""Find the jobs whose policy expressions may fire, without reading their whole ads.

Of each job only the attributes are read that its expressions refer to. Jobs that were submitted
alike share their expressions, which are parsed once a slice.
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

_RUN_LIMITS: Final = ("allowedjobduration", "allowedexecuteduration")
#: The job has no such expression, or one that never fires.
_NEVER: Final = None


class _Expression(NamedTuple):
    """An expression of the jobs of a shape; ``prepared``: None where it needs their whole ads."""

    prepared: Prepared | None
    #: its attributes: lower-case name, index in the row (-1: not there), the template's value
    own: tuple[tuple[str, int, Any], ...]
    is_live: bool


_WHOLE: Final = _Expression(None, (), is_live=False)


class PolicyPrefilter:
    """A filter for one slice of a scan: the jobs as they are at one time."""

    def __init__(self, live: Callable[[JobId], Mapping[str, str]], now: float) -> None:
        """``live``: as in ``PolicyScan``; ``now``: epoch seconds."""
        self._live = live
        self._now = now
        self._expressions: dict[tuple[int, str], _Expression | None] = {}

    def may_fire(self, row: Row) -> bool:
        """Whether a policy may fire; False only where none does."""
        if row.status in (COMPLETED, REMOVED):
            return True  # leave_in_queue is not checked here
        runs = row.status in (RUNNING, SUSPENDED)
        if runs and any(_has(row.shape, name) for name in _RUN_LIMITS):
            return True
        first = "periodicrelease" if row.status == HELD else "periodichold"
        live = self._live(row.id) if runs else {}
        values: list[str | None] | None = None
        for name in (first, "periodicremove"):
            key = (row.number, name)
            if key not in self._expressions:
                self._expressions[key] = self._prepare(row.shape, name)
            expression = self._expressions[key]
            if expression is _NEVER:
                continue
            if expression.prepared is None:
                return True
            if values is None:
                values = row_codec.read(row.values)
            known = [
                template if place < 0 else plain_value(values[place])
                for _name, place, template in expression.own
            ]
            if live and expression.is_live:
                lows = {each.lower(): text for each, text in live.items()}
                for place, (low, _place, _template) in enumerate(expression.own):
                    if low in lows:
                        known[place] = plain_value(lows[low])
            value = expression.prepared.value(known)
            if value is NOT_LITERAL or truth(value) is True:
                return True
        return False

    def _prepare(self, shape: Shape, name: str) -> _Expression | None:
        if name in shape.lows:
            return _WHOLE  # it differs from job to job
        _name, text = shape.template.get(name, ("", None))
        if text is None or truth(literal_value(text)) is False:
            return _NEVER
        try:
            compiled = compile_expression(text)
            # what workers report is a job's own value, too, and refers to nothing else
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
        return _Expression(prepared, tuple(own), not lows.isdisjoint(LIVE_ATTRIBUTES))


def _has(shape: Shape, name: str) -> bool:
    return name in shape.template or name in shape.lows
