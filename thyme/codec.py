r"""The bytes of a message.

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
worker must stay small (docs/decisions/002-message-validation.md).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Final

from .errors import BadMessage, MessageTooLarge, UnknownVersion
from .job import JobId, SandboxFile, Task
from .message import ACTIONS, KINDS, HoldReason, Message, Usage

VERSION: Final = 1
#: Bytes. The largest message that an unmodified RabbitMQ of every supported release
#: takes (max_message_size is 16 MiB from 4.0 on).
MAX_SIZE: Final = 16 * 1024 * 1024
#: Bytes of a blob below which deflating it is not worth the time.
_DEFLATE_FROM = 256
#: Bytes that all blobs of one message may inflate to: a small message must not fill the memory.
MAX_INFLATED: Final = 256 * 1024 * 1024


# --- one codec per field name -------------------------------------------------
# Writer: value -> JSON value, with a place to put bytes. Reader: the reverse; it
# raises ValueError with what it wanted. A name means the same in every kind.


class _Blobs:
    """The bytes after the header, being written."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0

    def put(self, data: bytes) -> dict[str, int]:
        stored = data
        if len(data) >= _DEFLATE_FROM:
            deflated = zlib.compress(data, 1)
            if len(deflated) < len(data):
                stored = deflated
        place = {"at": self.size, "size": len(stored)}
        if stored is not data:
            place["raw"] = len(data)
        self.parts.append(stored)
        self.size += len(stored)
        return place


class _Stored:
    """The bytes after the header, being read."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.left = MAX_INFLATED

    def get(self, place: Any) -> bytes:
        if not isinstance(place, dict):
            raise ValueError("the place of some bytes")
        start, size = _count(place.get("at")), _count(place.get("size"))
        piece = self.data[start : start + size]
        if len(piece) != size:
            raise ValueError("bytes that are in the message (it is cut short)")
        if "raw" not in place:
            return bytes(piece)
        raw = _count(place["raw"])
        self.left -= raw
        if self.left < 0:
            raise ValueError(f"less than {MAX_INFLATED} bytes in all")
        try:
            inflater = zlib.decompressobj()
            data = inflater.decompress(piece, raw + 1)
        except zlib.error as error:
            raise ValueError("deflated bytes") from error
        if len(data) != raw or not inflater.eof:
            raise ValueError("bytes of the length that it gives")
        return data


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("a whole number from 0")
    return value


def _integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("a whole number")
    return value


def _number(value: Any) -> float:
    # NaN compares to nothing: the last clause refuses it and the infinities
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e300:
        raise ValueError("a finite number")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a text")
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value or len(value) > 255:
        raise ValueError("a name of 1 to 255 characters")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _action(value: Any) -> str:
    if value not in ACTIONS:
        raise ValueError("one of " + ", ".join(ACTIONS))
    return str(value)


def _job(value: Any) -> JobId:
    return JobId.parse(_text(value))


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)):
        raise ValueError("a list of texts")
    return tuple(_text(item) for item in value)


def _mapping(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError("names with texts")
    return {_text(name): _text(text) for name, text in value.items()}


def _relative(value: Any) -> str:
    name = _name_of_file(value)
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or "" in parts:
        raise ValueError("a path inside the scratch directory")
    return name


def _name_of_file(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("a path")
    return value


def _write_files(files: Any, blobs: _Blobs) -> list[Any]:
    return [
        {"name": _relative(file.name), "mode": _count(file.mode), "data": blobs.put(file.data)}
        for file in files
    ]


def _read_files(value: Any, stored: _Stored) -> tuple[SandboxFile, ...]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError("a list of files")
    return tuple(
        SandboxFile(
            name=_relative(item.get("name")),
            data=stored.get(item.get("data")),
            mode=_count(item.get("mode")) & 0o7777,
        )
        for item in value
    )


def _write_hold(hold: Any, _blobs: _Blobs) -> Any:
    return None if hold is None else [_integer(hold.code), _integer(hold.subcode), _text(hold.text)]


def _read_hold(value: Any, _stored: _Stored) -> HoldReason | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 3:
        raise ValueError("[code, subcode, text]")
    return HoldReason(_integer(value[0]), _integer(value[1]), _text(value[2]))


def _write_usage(usage: Any, _blobs: _Blobs) -> Any:
    return [
        _number(usage.user_cpu),
        _number(usage.system_cpu),
        _number(usage.wall),
        _count(usage.peak_rss),
    ]


def _read_usage(value: Any, _stored: _Stored) -> Usage:
    if not isinstance(value, list) or len(value) != 4:
        raise ValueError("[user CPU, system CPU, wall, peak RSS]")
    return Usage(_number(value[0]), _number(value[1]), _number(value[2]), _count(value[3]))


Writer = Callable[[Any, _Blobs], Any]
Reader = Callable[[Any, _Stored], Any]


def _both(check: Callable[[Any], Any]) -> tuple[Writer, Reader]:
    return (lambda value, _blobs: check(value)), (lambda value, _stored: check(value))


def _optional(check: Callable[[Any], Any]) -> tuple[Writer, Reader]:
    return _both(lambda value: None if value is None else check(value))


_BLOB: tuple[Writer, Reader] = (
    lambda data, blobs: blobs.put(data),
    lambda place, stored: stored.get(place),
)
_FILES: tuple[Writer, Reader] = (_write_files, _read_files)


def _write_task(task: Task, blobs: _Blobs) -> Any:
    return _write(task, _TASK, blobs)


def _read_task(value: Any, stored: _Stored) -> Task:
    if not isinstance(value, dict):
        raise ValueError("a task")
    return Task(**_read(value, _TASK, stored, "task"))


_TASK: dict[str, tuple[Writer, Reader]] = {
    "executable": _both(_name_of_file),
    "arguments": _both(_texts),
    "environment": _both(_mapping),
    "scratch_env": _both(_texts),
    "files": _FILES,
    "stdin": _both(_text),
    "directory": _both(_text),
    "output_files": _optional(_texts),
    "merge_stderr": _both(_flag),
    "max_stream": _both(_count),
    "max_output": _both(_count),
    "kill_signal": _both(_count),
    "kill_grace": _both(_number),
    "lease": _both(_number),
}

_FIELDS: dict[str, tuple[Writer, Reader]] = {
    "schedd": _both(_name),
    "job": ((lambda job, _blobs: str(job)), (lambda value, _stored: _job(value))),
    "time": _both(_number),
    "pool": _both(_name),
    "attempt": _both(_count),
    "ad": _both(_mapping),
    "task": (_write_task, _read_task),
    "worker": _both(_name),
    "host": _both(_name),
    "exit_code": _optional(_integer),
    "signal": _optional(_count),
    "usage": (_write_usage, _read_usage),
    "stdout": _BLOB,
    "stderr": _BLOB,
    "files": _FILES,
    "hold": (_write_hold, _read_hold),
    "reason": _both(_text),
    "token": _both(_name),
    "next_cluster": _both(_count),
    "run": _both(_flag),
    "peak_rss": _both(_count),
    "action": _both(_action),
}


def _write(thing: Any, table: Mapping[str, tuple[Writer, Reader]], blobs: _Blobs) -> dict[str, Any]:
    header = {}
    for each in fields(thing):
        try:
            header[each.name] = table[each.name][0](getattr(thing, each.name), blobs)
        except ValueError as error:
            raise BadMessage(f"field {each.name!r} should be {error}") from error
    return header


def _read(
    header: Mapping[str, Any],
    table: Mapping[str, tuple[Writer, Reader]],
    stored: _Stored,
    what: str,
    names: tuple[str, ...] | None = None,
) -> dict[str, Any]:
    values = {}
    for name in table if names is None else names:
        if name not in header:
            raise BadMessage(f"{what}: field {name!r} is missing")
        try:
            values[name] = table[name][1](header[name], stored)
        except ValueError as error:
            raise BadMessage(f"{what}: field {name!r} should be {error}") from error
    return values


def encode(message: Message) -> bytes:
    """The bytes of a message; raises BadMessage, or MessageTooLarge with the sizes in the text."""
    blobs = _Blobs()
    header = {"thyme": VERSION, "kind": message.kind, **_write(message, _FIELDS, blobs)}
    # surrogates (file names that are no UTF-8) are kept by JSON's \u escapes
    line = json.dumps(header, separators=(",", ":")).encode("ascii")
    size = len(line) + 1 + blobs.size
    if size > MAX_SIZE:
        raise MessageTooLarge(
            f"the {message.kind} message would have {size} bytes; the limit is {MAX_SIZE}"
        )
    return b"".join([line, b"\n", *blobs.parts])


def decode(data: bytes) -> Message:
    """The message of these bytes; raises BadMessage or UnknownVersion, never anything else."""
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
            f"message version {header['thyme']!r} is not known here (this is {VERSION}); "
            "update thyme on this side, or the sender was never ours"
        )
    kind = header.get("kind")
    cls = KINDS.get(kind) if isinstance(kind, str) else None
    if cls is None:
        raise BadMessage(f"unknown kind of message {kind!r}")
    stored = _Stored(memoryview(data)[end + 1 if end >= 0 else len(data) :])
    names = tuple(each.name for each in fields(cls))
    return cls(**_read(header, _FIELDS, stored, cls.kind, names))
