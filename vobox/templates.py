"""The ads that jobs submitted alike share, by their number in the ledger.

A job agent's ad differs from the one before it in ten attributes of seventy.
The seventy are stored once; the job keeps the ten and what happens to it.
"""

from __future__ import annotations

import json
import sqlite3
from collections import OrderedDict

from .ads import Ad, Items

#: Templates kept in memory; a site's CE and its few users write a handful.
KEPT = 128


class Template(dict[str, tuple[str, str | None]]):
    """The attributes, and the template's number in the ledger."""

    __slots__ = ("number",)

    def __init__(self, items: Items, number: int) -> None:
        super().__init__(items)
        self.number = number


class Templates:
    """Reads them, for a connection of any thread."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._known: OrderedDict[int, Template] = OrderedDict()

    def __getitem__(self, number: int) -> Template:
        known = self._known.get(number)
        if known is None:
            row = self._db.execute("SELECT ad FROM templates WHERE id=?", (number,)).fetchone()
            known = self._keep(Template(Ad(json.loads(row[0])).as_template(), number))
        return known

    def ad(self, number: int, difference: str) -> Ad:
        """The ad that a row of the ledger stands for."""
        return Ad.on(self[number], json.loads(difference))

    def _keep(self, template: Template) -> Template:
        self._known[template.number] = template
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
        return template


class NewTemplates(Templates):
    """The writer's: makes a template where no known one fits."""

    def __init__(self, db: sqlite3.Connection) -> None:
        super().__init__(db)
        self._latest: OrderedDict[tuple[str, ...], Template] = OrderedDict()

    def number(self, ad: Ad) -> int:
        """The number of the ad's template; one without is put on one first."""
        if isinstance(ad.template, Template):
            return ad.template.number
        kind = (ad.text("Owner"), *ad.names())
        latest = self._latest.get(kind)
        if latest is not None:
            ad.settle_on(latest)
            if len(ad.difference()) <= len(latest) // 2:
                return latest.number
        text = json.dumps(dict(ad.pairs()))
        cursor = self._db.execute("INSERT INTO templates(ad) VALUES(?)", (text,))
        made = self._keep(Template(ad.as_template(), cursor.lastrowid or 0))
        self._latest[kind] = made
        self._latest.move_to_end(kind)
        if len(self._latest) > KEPT:
            self._latest.popitem(last=False)
        ad.settle_on(made)
        return made.number

    def forget(self) -> None:
        """What was made may not be in the ledger any more: begin anew."""
        self._known.clear()
        self._latest.clear()
