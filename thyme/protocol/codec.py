r"""Encodes messages to bytes, and decodes them.

A message is one line of JSON (the header), a newline, and the bytes that the
header refers to (file contents, output), so that binary data costs its own
size::

    {"thyme": 1, "kind": "finished", "job": "12.0", "stdout": {"at": 0, "size": 42, "raw": 99}}\n...

``at`` and ``size`` place the stored bytes after the newline; ``raw`` is their
length once inflated and is absent where they are stored as they are. Both
ends validate: a message with a missing or ill-typed field is not sent, and
not believed. Fields that a reader does not know are left alone, so that a
later program may add some without a new version.

The checks are a table of plain functions and not pydantic models: an idle
worker must stay small, and importing pydantic costs more than the rest of it.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from thyme.errors import BadMessage, MessageTooLarge, UnknownVersion

from .blobs import MAX_SIZE, BlobReader, BlobWriter, Deflated
from .events import IN_STREAM, SHARED_KINDS, Message
from .fields import MESSAGE_FIELDS, TASK_FIELDS, Reader, Writer
from .job import Task
from .mail import BY_MAIL

VERSION: Final = 1
#: Every kind of message by its name in the header.
KINDS: Final[dict[str, type[Message]]] = {kind.kind: kind for kind in (*IN_STREAM, *BY_MAIL)}
to_json: Final = json.JSONEncoder(separators=(",", ":")).encode

#: The fields of every kind of message, and of a task.
FIELD_NAMES: dict[type, tuple[str, ...]] = {
    kind: tuple(each.name for each in fields(kind)) for kind in (*KINDS.values(), Task)
}


def _encode_fields(
    thing: Any, table: Mapping[str, tuple[Writer, Reader]], blobs: BlobWriter, what: str
) -> dict[str, Any]:
    return {
        name: _encode_field(name, getattr(thing, name), table, blobs, what)
        for name in FIELD_NAMES[type(thing)]
    }


def _encode_field(
    name: str, value: Any, table: Mapping[str, tuple[Writer, Reader]], blobs: BlobWriter, what: str
) -> Any:
    """Return the JSON value of a field; raises BadMessage. ``what``: whose field it is."""
    try:
        return table[name][0](value, blobs)
    except BadMessage as error:
        raise type(error)(f"{what}: {error}") from error
    except ValueError as error:
        raise BadMessage(f"{what}: field {name!r} should be {error}") from error


def _decode_fields(
    header: Mapping[str, Any],
    table: Mapping[str, tuple[Writer, Reader]],
    stored: BlobReader,
    what: str,
    names: tuple[str, ...] | None = None,
) -> dict[str, Any]:
    values = {}
    for name in table if names is None else names:
        if name not in header:
            raise BadMessage(f"{what}: field {name!r} is missing")
        try:
            values[name] = table[name][1](header[name], stored)
        except BadMessage as error:
            raise BadMessage(f"{what}: {error}") from error
        except ValueError as error:
            raise BadMessage(f"{what}: field {name!r} should be {error}") from error
    return values


def _encode_task(task: Any, blobs: BlobWriter) -> Any:
    if not isinstance(task, Task):
        raise ValueError("a task")
    return _encode_fields(task, TASK_FIELDS, blobs, "task")


def _decode_task(value: Any, stored: BlobReader) -> Task:
    if not isinstance(value, dict):
        raise ValueError("a task")
    return Task(**_decode_fields(value, TASK_FIELDS, stored, "task"))


def _encode_event(event: Any, blobs: BlobWriter) -> Any:
    if not isinstance(event, SHARED_KINDS):
        raise ValueError("an event that jobs can share")
    return {"kind": event.kind, **_encode_fields(event, ALL_FIELDS, blobs, event.kind)}


def _decode_event(value: Any, stored: BlobReader) -> Message:
    kind = value.get("kind") if isinstance(value, dict) else None
    cls = next((each for each in SHARED_KINDS if each.kind == kind), None)
    if cls is None:
        raise ValueError("an event that jobs can share")
    return cls(**_decode_fields(value, ALL_FIELDS, stored, cls.kind, FIELD_NAMES[cls]))


ALL_FIELDS: dict[str, tuple[Writer, Reader]] = {
    **MESSAGE_FIELDS,
    "task": (_encode_task, _decode_task),
    "event": (_encode_event, _decode_event),
}


def encode(message: Message, deflated: Deflated | None = None) -> bytes:
    """Return the bytes of a message.

    ``deflated``: given to several messages that share files, it keeps each file deflated once.
    Raises BadMessage, or MessageTooLarge with the sizes in the text.
    """
    blobs = BlobWriter(deflated)
    header = {
        "thyme": VERSION,
        "kind": message.kind,
        **_encode_fields(message, ALL_FIELDS, blobs, message.kind),
    }
    # surrogates (file names that are no UTF-8) are kept by JSON's \u escapes
    line = to_json(header).encode("ascii")
    size = len(line) + 1 + blobs.size
    if size > MAX_SIZE:
        raise MessageTooLarge(
            f"the {message.kind} message would have {size} bytes; the limit is {MAX_SIZE}"
        )
    return b"".join([line, b"\n", *blobs.parts])


def decode(data: bytes, with_files: bool = True) -> Message:
    """Decode a message; raises BadMessage or UnknownVersion, never anything else.

    ``with_files``: False leaves all files and output that are deflated as zeros of their length,
    for a reader that does not look into them: inflating them is most of the work, and of a message
    that somebody else made for that it is a second's.
    """
    if len(data) > MAX_SIZE:
        raise MessageTooLarge(f"a message of {len(data)} bytes; the limit is {MAX_SIZE}")
    end = data.find(b"\n")
    try:
        header = json.loads(data[: end if end >= 0 else len(data)])
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"not a thyme message: {error}") from error
    if not isinstance(header, dict) or "thyme" not in header:
        raise BadMessage("not a thyme message: no version")
    if header["thyme"] != VERSION:
        raise UnknownVersion(
            f"message version {reprlib.repr(header['thyme'])} is not known here "
            f"(this is {VERSION}); "
            "update thyme on this side, or the sender was never ours"
        )
    kind = header.get("kind")
    cls = KINDS.get(kind) if isinstance(kind, str) else None
    if cls is None:
        raise BadMessage(f"unknown kind of message {reprlib.repr(kind)}")
    rest = memoryview(data)[end + 1 if end >= 0 else len(data) :]
    stored = BlobReader(rest, with_files)
    names = FIELD_NAMES[cls]
    return cls(**_decode_fields(header, ALL_FIELDS, stored, cls.kind, names))
