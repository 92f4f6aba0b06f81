"""The ads that jobs submitted alike share, by their number in the ledger.

A job agent's ad differs from the one before it in ten attributes of seventy.
The seventy are stored once; the job keeps the ten and what happens to it. Jobs
that the same has happened to differ in the same attributes: their *shape* is
the template and the names of these, stored once as well. A row is then a list
of values, and an attribute that is not in its shape reads the same in all of
its jobs.
"""

from __future__ import annotations

import json
import sqlite3
from collections import OrderedDict
from collections.abc import Mapping
from itertools import compress
from operator import ne
from typing import NamedTuple

from vobox.classad.ad import Ad, Items, lower

from . import row_codec

#: Templates kept in memory; a site's CE and its few users write a handful.
KEPT = 128
#: Shapes kept in memory; a job goes through some ten.
KEPT_SHAPES = 1024


class Template(dict[str, tuple[str, str | None]]):
    """The attributes, and the template's number in the ledger."""

    __slots__ = ("number",)

    def __init__(self, items: Items, number: int) -> None:
        super().__init__(items)
        self.number = number


class Shape(NamedTuple):
    """``names`` as ads write them, ``lows`` in lower case: of what differs, in a row's order."""

    template: Template
    names: tuple[str, ...]
    lows: tuple[str, ...]

    def items(self, values: str) -> Items:
        """What a row's values say."""
        return dict(zip(self.lows, zip(self.names, self.values(values), strict=True), strict=True))

    def values(self, values: str) -> list[str | None]:
        """A row's values, in the order of the names; None: the job has no such attribute."""
        return row_codec.read(values)


class Templates:
    """Reads them, for a connection of any thread."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._known: OrderedDict[int, Template] = OrderedDict()
        self._shapes: dict[int, Shape] = {}

    def __getitem__(self, number: int) -> Template:
        known = self._known.get(number)
        if known is None:
            row = self._db.execute("SELECT ad FROM templates WHERE id=?", (number,)).fetchone()
            known = self._keep(Template(Ad(json.loads(row[0])).as_template(), number))
        return known

    def ad(self, shape: int, values: str) -> Ad:
        """The ad that a row of the ledger stands for."""
        found = self.shape(shape)
        return Ad.of_items(found.items(values), found.template)

    def shape(self, number: int) -> Shape:
        known = self._shapes.get(number)
        if known is None:
            template, names = self._db.execute(
                "SELECT template, names FROM shapes WHERE id=?", (number,)
            ).fetchone()
            if len(self._shapes) >= KEPT_SHAPES:
                self._shapes.clear()
            known = self._shapes[number] = _shape(self[template], json.loads(names))
        return known

    def shapes(self, most: int) -> list[int] | None:
        """The numbers of all shapes, used or not; None where there are more than ``most``."""
        found = self._db.execute("SELECT id FROM shapes LIMIT ?", (most + 1,)).fetchall()
        return None if len(found) > most else [number for (number,) in found]

    def _keep(self, template: Template) -> Template:
        self._known[template.number] = template
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
        return template


class _Latest(NamedTuple):
    """A template, and what it says as its first ad was written."""

    template: Template
    owner: str
    names: tuple[str, ...]
    lows: tuple[str, ...]
    texts: tuple[str, ...]

    def fits(self, differing: int) -> bool:
        """Whether an ad that differs in so many attributes is worth storing as a difference."""
        return differing <= len(self.names) // 2


class NewTemplates(Templates):
    """The writer's: makes a template where no known one fits."""

    def __init__(self, db: sqlite3.Connection) -> None:
        super().__init__(db)
        #: by the owner's expression and the lower-case names
        self._latest: OrderedDict[tuple[str, ...], _Latest] = OrderedDict()
        #: the one that fitted last
        self._found: _Latest | None = None
        #: template and names → number
        self._numbers: dict[tuple[object, ...], int] = {}

    def ad_of(self, texts: Mapping[str, str]) -> Ad:
        """The ad of these attributes, on a template at once where one fits.

        A cluster's jobs come by the thousand: what differs is found without making the seventy
        items of each.
        """
        names = tuple(texts)
        owner, found = texts.get("Owner", ""), self._found
        if found is None or found.owner != owner or found.names != names:
            found = self._latest.get((owner, *lower(names)))
            if found is None or found.names != names:
                return Ad(texts)
            self._found = found
        values, lows = tuple(texts.values()), found.lows
        differs = list(compress(range(len(names)), map(ne, values, found.texts)))
        if not found.fits(len(differs)):
            return Ad(texts)
        own: Items = {lows[place]: (names[place], values[place]) for place in differs}
        return Ad.of_items(own, found.template)

    def number(self, ad: Ad) -> int:
        """The number of the ad's template; one without is put on one first."""
        if isinstance(ad.template, Template):
            return ad.template.number
        kind = (ad.get("Owner", ""), *ad.names())
        found = self._latest.get(kind)
        if found is not None:
            ad.settle_on(found.template)
            if found.fits(len(ad.difference())):
                return found.template.number
        texts = ad.texts()
        text = json.dumps(texts)
        cursor = self._db.execute("INSERT INTO templates(ad) VALUES(?)", (text,))
        made = self._keep(Template(ad.as_template(), cursor.lastrowid or 0))
        names = tuple(texts)
        self._latest[kind] = _Latest(made, kind[0], names, lower(names), tuple(texts.values()))
        self._found = None
        self._latest.move_to_end(kind)
        if len(self._latest) > KEPT:
            self._latest.popitem(last=False)
        ad.settle_on(made)
        return made.number

    def row(self, ad: Ad) -> tuple[int, str]:
        """The number of the ad's shape, and its values."""
        template = self.number(ad)
        difference = ad.difference()
        kind = (template, *difference)
        number = self._numbers.get(kind)
        if number is None:
            names = json.dumps(list(difference))
            put = "INSERT INTO shapes(template, names) VALUES(?,?)"
            number = self._db.execute(put, (template, names)).lastrowid or 0
            if len(self._numbers) >= KEPT_SHAPES:
                self._numbers.clear()
            self._numbers[kind] = number
        return number, row_codec.written(list(difference.values()))

    def forget(self) -> None:
        """What was made may not be in the ledger any more: begin anew."""
        self._known.clear()
        self._latest.clear()
        self._found = None
        self._shapes.clear()
        self._numbers.clear()

    def drop_unused(self) -> None:
        """Drop what no job has any more from the ledger."""
        self.forget()
        self._db.execute("DELETE FROM shapes WHERE id NOT IN (SELECT shape FROM jobs)")
        self._db.execute("DELETE FROM templates WHERE id NOT IN (SELECT template FROM shapes)")


def _shape(template: Template, names: list[str]) -> Shape:
    return Shape(template, tuple(names), tuple(name.lower() for name in names))
