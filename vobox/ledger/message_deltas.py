"""Messages of jobs, stored as what differs from one like them.

The ledger keeps a job's message for as long as the job may have to be queued again. Those of a
cluster say the same two thousand bytes but for a few numbers, and carry the same files; each by
itself takes a page of the ledger's file, which is written twice. As the difference from an
earlier one, its *base*, it takes a hundred bytes.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Sequence
from itertools import compress
from operator import ne
from typing import Final

#: Bytes of a message that may be, or have, a base: bases are kept in memory.
LARGEST: Final = 256 * 1024
#: Bases that new messages may have: one for each kind of job.
_KEPT: Final = 16
#: A header's members end with it; what is between two is a *piece*.
_COMMA: Final = b","
#: Between the pieces of a difference. JSON has no such byte.
_BETWEEN: Final = b"\x1f"


class _Base:
    """A message that others may be stored as differences from."""

    def __init__(self, body: bytes, header_end: int) -> None:
        self.body = body
        #: in the ledger; None where nothing hangs on it yet
        self.number: int | None = None
        self._pieces = body[:header_end].split(_COMMA)
        self._places = range(len(self._pieces))
        #: the header's newline, and the bytes of files
        self._rest = body[header_end:]
        #: where the last message differed, and the header before, between and behind these places
        self._last_places = b""
        self._last_around = [body[:header_end]]

    def difference(self, body: bytes, header_end: int) -> bytes | None:
        """``over(self.body, difference)`` is ``body``. None: they are not alike."""
        if len(body) - header_end != len(self._rest) or not body.endswith(self._rest):
            return None
        own = self._as_last(body, header_end)
        if own is None:
            pieces = body[:header_end].split(_COMMA)
            if len(pieces) != len(self._places):
                return None
            differs = list(compress(self._places, map(ne, pieces, self._pieces)))
            own = [pieces[place] for place in differs]
            self._last_places = ",".join(map(str, differs)).encode()
            self._last_around = self._around(differs)
        found = _BETWEEN.join([self._last_places, *own])
        is_plain = found.count(_BETWEEN) == len(own)
        return found if is_plain and len(found) <= len(body) // 2 else None

    def _as_last(self, body: bytes, header_end: int) -> list[bytes] | None:
        """Its pieces in the places where the last one differed, if it differs nowhere else.

        The messages of a cluster mostly do not: then they need not be taken to pieces.
        """
        *around, end = self._last_around
        own, at = [], 0
        for same in around:
            if not body.startswith(same, at):
                return None
            start = at + len(same)
            comma = body.find(_COMMA, start, header_end)
            at = header_end if comma < 0 else comma
            own.append(body[start:at])
        return own if header_end - at == len(end) and body.startswith(end, at) else None

    def _around(self, places: list[int]) -> list[bytes]:
        """The header without these pieces; commas belong to what is left."""
        found, start, comma = [], 0, b""
        for place in places:
            between = b"".join(piece + _COMMA for piece in self._pieces[start:place])
            found.append(comma + between)
            start, comma = place + 1, _COMMA
        end = self._pieces[start:]
        found.append(comma + _COMMA.join(end) if end else b"")
        return found


def over(base: bytes, difference: bytes) -> bytes:
    """The message; raises ValueError or IndexError for what is no difference from that base."""
    places, *own = difference.split(_BETWEEN)
    header_end = base.index(b"\n")
    pieces = base[:header_end].split(_COMMA)
    for place, piece in zip(places.split(_COMMA) if places else (), own, strict=True):
        pieces[int(place)] = piece
    return _COMMA.join(pieces) + base[header_end:]


class Bodies:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        #: by the number of the jobs' template
        self._latest: OrderedDict[int, _Base] = OrderedDict()
        #: whether there are new ones since it was last looked for unused ones
        self._made = False

    def written(self, template: int, body: bytes) -> tuple[int | None, bytes]:
        """The number of its base (None: it has none), and what is to be stored.

        ``template``: of the job's ad; jobs with the same one have messages that are alike.
        """
        header_end = body.find(b"\n")
        if len(body) > LARGEST or header_end < 0:
            return None, body
        base = self._latest.get(template)
        if base is not None:
            difference = base.difference(body, header_end)
            if difference is not None:
                return self._number(base), difference
        # the next one may be like it; a job that comes alone needs no base
        self._latest[template] = _Base(body, header_end)
        self._latest.move_to_end(template)
        if len(self._latest) > _KEPT:
            self._latest.popitem(last=False)
        return None, body

    def _number(self, base: _Base) -> int | None:
        if base.number is None:
            put = self._db.execute("INSERT INTO bases(body) VALUES(?)", (base.body,))
            base.number, self._made = put.lastrowid, True
        return base.number

    def read(self, number: int | None, stored: bytes) -> bytes:
        """The message; raises sqlite3.DatabaseError where it cannot be made again.

        Then the ledger is made again at the next start: nothing else looks that deep into it.
        """
        if number is None:
            return stored
        row = self._db.execute("SELECT body FROM bases WHERE id=?", (number,)).fetchone()
        try:
            return over(bytes(row[0]), stored)
        except (TypeError, LookupError, ValueError) as error:
            self._db.execute("PRAGMA user_version=0")
            raise sqlite3.DatabaseError(f"a message in the ledger is damaged: {error}") from error

    def forget(self) -> None:
        """What was made may not be in the ledger any more: begin anew."""
        self._latest.clear()

    def drop_unused(self) -> None:
        """Drop the bases that no message has any more, if there are new ones since the last time.

        A base may hold a proxy, and its jobs may be long gone.
        """
        if not self._made:
            return
        self._made = False
        used = {number for (number,) in self._db.execute("SELECT DISTINCT base FROM bodies")}
        used.update(base.number for base in self._latest.values())
        there: Sequence[tuple[int]] = self._db.execute("SELECT id FROM bases").fetchall()
        self._db.executemany("DELETE FROM bases WHERE id=?", [i for i in there if i[0] not in used])
