"""The bytes of many messages that have most in common: the jobs of one cluster.

A cluster's jobs differ in a number here and there. What is the same object as in
the message before is neither checked nor written again; the bytes are those of
``codec.encode``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress
from operator import attrgetter, is_not
from typing import Any, Final

from thyme.errors import BadMessage

from .blobs import Blobs, Deflated
from .codec import ALL_FIELDS, FIELD_NAMES, VERSION, put_together, to_json, write_field
from .events import Recorded, Submit
from .fields import FIELDS, TASK
from .job import Task

_TASK: Final = attrgetter(*FIELD_NAMES[Task])


class Alike:
    """Encodes messages one after the other; files that they share are deflated once."""

    def __init__(self) -> None:
        self._series: dict[type, _Series] = {}
        self._deflated: Deflated = {}

    def encode(self, message: Submit | Recorded) -> bytes:
        """As ``codec.encode``; raises BadMessage, and is of no use then."""
        kind = type(message)
        series = self._series.get(kind)
        if series is None:
            series = self._series[kind] = _Series(kind, self._deflated)
        return series.encode(message)


class _Object:
    """The JSON of an object whose members are always the same: only new values are written."""

    def __init__(self, names: Sequence[str], write: Callable[[str, Any], str]) -> None:
        self.names = names
        self._write = write
        # values are kept: no other object can then have their identity
        self._values: Sequence[object] = [object()] * len(names)
        self._members = [""] * len(names)

    def json(self, values: Sequence[Any]) -> str:
        """Raises what ``write`` raises."""
        for number in compress(range(len(values)), map(is_not, values, self._values)):
            name = self.names[number]
            self._members[number] = f"{to_json(name)}:{self._write(name, values[number])}"
        self._values = values
        return f"{{{','.join(self._members)}}}"


class _Series:
    """Messages of one kind."""

    def __init__(self, kind: type[Submit] | type[Recorded], deflated: Deflated) -> None:
        self._kind = kind.kind
        self._names = FIELD_NAMES[kind]
        self._get = attrgetter(*self._names)
        self._deflated = deflated
        self._blobs = Blobs()
        self._header = _Object(self._names, self._field)
        self._task = _Object(FIELD_NAMES[Task], self._task_field)
        self._ad = _Object((), _member)

    def encode(self, message: Submit | Recorded) -> bytes:
        """Raises BadMessage; no further message of the series may be written then."""
        start = f'{{"thyme":{VERSION},"kind":"{self._kind}",'
        return put_together(
            self._kind, start + self._header.json(self._get(message))[1:], self._blobs
        )

    def _field(self, name: str, value: Any) -> str:
        if name == "ad" and type(value) is dict:
            names, texts = list(value), list(value.values())
            if names != self._ad.names:
                write_field(name, value, FIELDS, self._blobs, self._kind)
                self._ad = _Object(names, _member)
            try:
                return self._ad.json(texts)
            except ValueError:
                pass  # said below
        elif name == "task" and type(value) is Task:
            try:
                return self._task.json(_TASK(value))
            except BadMessage as error:
                raise type(error)(f"{self._kind}: {error}") from error
        return to_json(write_field(name, value, ALL_FIELDS, self._blobs, self._kind))

    def _task_field(self, name: str, value: Any) -> str:
        if name == "files":  # the only field whose bytes stand behind the header
            self._blobs = Blobs(self._deflated)
        return to_json(write_field(name, value, TASK, self._blobs, "task"))


def _member(_name: str, text: Any) -> str:
    if type(text) is not str:
        raise ValueError
    return to_json(text)
