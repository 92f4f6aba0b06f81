"""What can be said of all jobs of one shape (``templates.py``) without reading them.

An attribute that differs from job to job stands in a row's values; any other is
the template's, and an expression over such attributes has one value for all.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple

from vobox.classad.ad import Ad, Items
from vobox.classad.expressions import compile_expression
from vobox.classad.literals import NOT_LITERAL, literal_value
from vobox.jobs.live_usage import LIVE_ATTRIBUTES

from .ad_templates import Shape


def reached(shape: Shape, names: Collection[str], columns: Collection[str]) -> set[str] | None:
    """All (lower-case) names that are looked at where these are, in jobs of this shape.

    An attribute may be an expression over others. ``columns`` are known to be literals. None
    where it cannot be told: an expression that looks at anything, or what only workers know.
    """
    found: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name in found:
            continue
        found.add(name)
        if name in columns:
            continue
        if name in LIVE_ATTRIBUTES:
            return None
        if name in shape.lows:
            continue
        item = shape.template.get(name)
        if item is not None and item[1] is not None and is_computed(item[1]):
            compiled = compile_expression(item[1])
            if compiled.unbounded:
                return None
            pending.extend(compiled.names)
    return found


@lru_cache(maxsize=1024)
def is_computed(text: str) -> bool:
    """Return whether an attribute's value has to be computed: its text is not a literal."""
    return literal_value(text) is NOT_LITERAL


def common(shape: Shape, names: Collection[str], columns: Collection[str]) -> set[str] | None:
    """``reached``, but None also where one of them differs from job to job and is no column."""
    found = reached(shape, names, columns)
    if found is None or any(name in shape.lows and name not in columns for name in found):
        return None
    return found


class Part(NamedTuple):
    """The part of the ads of one shape that a query looks at."""

    shape: Shape
    #: from the template
    same: Items
    #: place among a row's values, lower-case name, name
    own: tuple[tuple[int, str, str], ...]
    #: lower-case names of all that is looked at
    reached: set[str]

    def ad(self, columns: Items, values: str) -> Ad | None:
        """``columns``: these attributes of the row; they become the ad's own. None: of this
        job one of them is an expression, so that only the whole ad will do."""
        if self.own:
            row = self.shape.values(values)
            for place, low, name in self.own:
                text = row[place]
                if text is not None and not text.isdigit() and literal_value(text) is NOT_LITERAL:
                    return None
                columns[low] = (name, text)
        return Ad.of_items({**self.same, **columns})


def part(shape: Shape, names: Collection[str], columns: Collection[str]) -> Part | None:
    """None: nothing less than the whole ad will do."""
    found = reached(shape, names, columns)
    if found is None:
        return None
    wanted = found.difference(columns)
    same = {low: shape.template[low] for low in wanted if low in shape.template}
    places = {low: place for place, low in enumerate(shape.lows) if low in wanted}
    own = tuple((place, low, shape.names[place]) for low, place in places.items())
    return Part(shape, same, own, found)
