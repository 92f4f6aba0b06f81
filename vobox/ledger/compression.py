"""Compression of what jobs have in common, by zlib with preset dictionaries.

The ads of job agents differ in ten attributes of seventy, and so do the messages that submitted
them. A text of each kind is kept as a *dictionary* of zlib's; each of the others then takes some
hundred bytes, and is decompressed in a microsecond.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections import OrderedDict
from typing import Final, NamedTuple, NoReturn

from .changes import UNCHANGED, Changes, decode_changes

#: Bytes that zlib looks back; a longer dictionary is of no use.
WINDOW: Final = 32 * 1024
#: Bytes of a text that is compressed; a longer one, with large files, is stored as it is.
LARGEST: Final = 256 * 1024
#: Bytes of changes that are stored apart from their ads; they grow with every action.
LARGEST_CHANGES: Final = 16 * 1024
#: A dictionary suits a text that is compressed to this part of its size with it.
_SUITS: Final = 1 / 3
#: Dictionaries that are kept in memory.
_MAX_KNOWN: Final = 64
#: With a dictionary that suits, more effort does not save more.
_LEVEL: Final = 3
#: Deflate without zlib's header and checksums, which would take as long as all else.
_RAW: Final = -15


class Dictionaries:
    """Decompresses what ``Compressor`` has compressed; for a connection of any thread."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._known: dict[int, bytes] = {}
        self._known_changes: dict[int, Changes] = {}

    def decompress(self, number: int | None, data: bytes) -> bytes:
        """Return the text that ``data`` stands for.

        ``number``: of its dictionary; None where ``data`` is the text itself. Raises
        sqlite3.DatabaseError where it is damaged.
        """
        return data if number is None else self.inflate(self.find(number), data)

    def find(self, number: int | None) -> bytes | None:
        """Return the dictionary with this number; None where there is none.

        To be asked in the thread of the connection, while the row that names it is there.
        """
        if number is None:
            return None
        return self._known.get(number) or self._read(number)

    def find_changes(self, number: int | None) -> Changes:
        """Return the changes with this number, ``UNCHANGED`` for None.

        To be asked as ``find`` is. Raises sqlite3.DatabaseError where they are damaged.
        """
        if number is None:
            return UNCHANGED
        known = self._known_changes.get(number)
        return known if known is not None else self._read_changes(number)

    def inflate(self, dictionary: bytes | None, data: bytes) -> bytes:
        """Return the text of ``data``, in any thread. Raises sqlite3.DatabaseError."""
        if dictionary is None:
            self.report_damage(LookupError("its dictionary is missing"))
        try:
            inflater = zlib.decompressobj(_RAW, zdict=dictionary)
            text = inflater.decompress(data)
        except zlib.error as error:
            self.report_damage(error)
        if not inflater.eof:
            self.report_damage(EOFError("it ends too early"))
        return text

    def report_damage(self, error: Exception) -> NoReturn:
        """Raise sqlite3.DatabaseError: a text is not what was stored."""
        raise sqlite3.DatabaseError(f"a text in the ledger is damaged: {error}") from error

    def _read(self, number: int) -> bytes | None:
        row = self._db.execute("SELECT text FROM dictionaries WHERE id=?", (number,)).fetchone()
        if row is None:
            return None
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        found: bytes = row[0]
        self._known[number] = found
        return found

    def _read_changes(self, number: int) -> Changes:
        row = self._db.execute("SELECT text FROM changes WHERE id=?", (number,)).fetchone()
        try:
            found = decode_changes(row[0])
        except (ValueError, TypeError) as error:
            self.report_damage(error)
        if len(self._known_changes) >= _MAX_KNOWN:
            self._known_changes.clear()
        self._known_changes[number] = found
        return found


class _Dictionary(NamedTuple):
    number: int
    text: bytes


class Compressor(Dictionaries):
    """The writer's side: makes a dictionary of a text that no known one suits."""

    def __init__(self, db: sqlite3.Connection) -> None:
        super().__init__(db)
        #: the latest of each kind
        self._latest: OrderedDict[tuple[str, str], _Dictionary] = OrderedDict()
        #: numbers of the changes that were stored last, by their text
        self._latest_changes: OrderedDict[bytes, int] = OrderedDict()
        #: whether there are new dictionaries or changes since unused ones were last deleted
        self._any_new = False
        #: whether a text was found to be damaged
        self.found_damage = False

    def report_damage(self, error: Exception) -> NoReturn:
        """Note that a dictionary is damaged, and raise as the reader does."""
        self.found_damage = True
        super().report_damage(error)

    def compress(self, kind: tuple[str, str], text: bytes) -> tuple[int | None, bytes]:
        """Return the number of a dictionary and the compressed text, as for ``decompress``.

        ``kind``: what the text is and whose; texts of one kind are mostly alike.
        """
        if len(text) > LARGEST:
            return None, text
        latest = self._latest.get(kind)
        if latest is not None:
            data = _deflate(text, latest.text)
            if len(data) <= len(text) * _SUITS:
                return latest.number, data
        if len(text) > WINDOW:
            return None, text
        made = self._make(kind, text)
        return made.number, _deflate(text, made.text)

    def _make(self, kind: tuple[str, str], text: bytes) -> _Dictionary:
        """Make a dictionary of this text, and of those before it where there is room."""
        former = self._latest.get(kind)
        if former is not None and len(former.text) + len(text) <= WINDOW:
            text = former.text + text
        put = self._db.execute("INSERT INTO dictionaries(text) VALUES(?)", (text,))
        made = self._latest[kind] = _Dictionary(put.lastrowid or 0, text)
        self._latest.move_to_end(kind)
        if len(self._latest) > _MAX_KNOWN:
            self._latest.popitem(last=False)
        self._any_new = True
        return made

    def store_changes(self, changes: Changes) -> int | None:
        """Store what was changed in many ads alike; returns its number, for ``find_changes``.

        None where it is so much that the ads had better be written again.
        """
        text = changes.encode()
        if len(text) > LARGEST_CHANGES:
            return None
        number = self._latest_changes.get(text)
        if number is None:
            put = self._db.execute("INSERT INTO changes(text) VALUES(?)", (text,))
            number = self._latest_changes[text] = put.lastrowid or 0
            self._any_new = True
        self._latest_changes.move_to_end(text)
        if len(self._latest_changes) > _MAX_KNOWN:
            self._latest_changes.popitem(last=False)
        return number

    def forget(self) -> None:
        """Forget all dictionaries: the transaction that made the last ones is undone."""
        self._latest.clear()
        self._latest_changes.clear()
        self._known.clear()
        self._known_changes.clear()

    def delete_unused(self) -> bool:
        """Delete the dictionaries and changes that nothing uses; returns whether it looked.

        It looks if there are new ones. A dictionary may hold a proxy, and the jobs that it is of
        may be long gone.
        """
        if not self._any_new:
            return False
        self._any_new = False
        used = "SELECT dictionary FROM jobs UNION SELECT dictionary FROM bodies"
        latest = ",".join(str(each.number) for each in self._latest.values())
        self._db.execute(
            f"DELETE FROM dictionaries WHERE id NOT IN ({latest}) AND id NOT IN "  # noqa: S608
            f"(SELECT dictionary FROM ({used}) WHERE dictionary IS NOT NULL)"
        )
        latest = ",".join(map(str, self._latest_changes.values()))
        self._db.execute(
            f"DELETE FROM changes WHERE id NOT IN ({latest}) AND id NOT IN "  # noqa: S608
            "(SELECT changes FROM jobs WHERE changes IS NOT NULL)"
        )
        # the next one may have the number of one that is gone
        self._known.clear()
        self._known_changes.clear()
        return True


def _deflate(text: bytes, dictionary: bytes) -> bytes:
    made = zlib.compressobj(_LEVEL, wbits=_RAW, zdict=dictionary)
    return made.compress(text) + made.flush()
