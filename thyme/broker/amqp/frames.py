"""AMQP 0-9-1 frames to and from bytes. The one module that imports pika.

Of pika it takes the protocol alone (``pika.spec``: every method, its fields and their encoding).
The connections of pika would bring asyncio, ssl and five event loops into each of thousands of
idle workers.
"""

from __future__ import annotations

import functools
import importlib
import struct
import sys
from collections.abc import Iterator
from importlib import util
from typing import Any, Final, NamedTuple

_METHOD: Final = 1
_HEADER: Final = 2
_BODY: Final = 3
_HEARTBEAT: Final = 8
_END: Final = 0xCE
_FRAME: Final = struct.Struct(">BHI")
_CONTENT: Final = struct.Struct(">HHQ")
_BASIC: Final = 60
#: Class and weight of a content header.
_CONTENT_START: Final = struct.pack(">HH", _BASIC, 0)
#: Bytes of a frame beside its payload.
_AROUND: Final = 8

GREETING: Final = b"AMQP\0\0\x09\x01"
HEARTBEAT: Final = _FRAME.pack(_HEARTBEAT, 0, 0) + bytes([_END])


def _protocol() -> Any:
    """``pika.spec``, without running pika's ``__init__``; whoever needs more of pika gets all."""
    found = util.find_spec("pika")
    if "pika" not in sys.modules and found is not None and found.loader is not None:
        package, loader = util.module_from_spec(found), found.loader

        def complete(name: str) -> Any:
            try:
                return importlib.import_module(f"pika.{name}")
            except ModuleNotFoundError:
                vars(package).pop("__getattr__", None)
                loader.exec_module(package)
                return getattr(package, name)

        vars(package)["__getattr__"] = complete
        sys.modules["pika"] = package
    import pika.spec

    return pika.spec


spec: Final = _protocol()
_WITH_CONTENT: Final = frozenset(
    method.INDEX for method in (spec.Basic.Return, spec.Basic.Deliver, spec.Basic.GetOk)
)


class BadFrame(Exception):
    """What came is not AMQP."""


class Method(NamedTuple):
    channel: int
    method: Any


class Content(NamedTuple):
    """A message: the method that brought it, its properties and its bytes."""

    channel: int
    method: Any
    properties: Any
    body: bytes


class Decoder:
    """Bytes, in any pieces, into methods and messages."""

    def __init__(self, frame_max: int) -> None:
        """``frame_max``: bytes of the longest frame that is believed."""
        self.frame_max = frame_max
        self._rest = b""
        #: channel → [method, properties, bytes to come, pieces]
        self._open: dict[int, list[Any]] = {}

    def feed(self, data: bytes) -> Iterator[Method | Content]:
        """What is complete now; raises BadFrame. Heartbeats are passed over."""
        buffer = self._rest + data if self._rest else data
        at, end = 0, len(buffer)
        try:
            while end - at > _FRAME.size:
                kind, channel, size = _FRAME.unpack_from(buffer, at)
                if kind not in (_METHOD, _HEADER, _BODY, _HEARTBEAT) or size > self.frame_max:
                    raise BadFrame(f"not a frame: {buffer[at : at + 8]!r}")
                start = at + _FRAME.size
                stop = start + size
                if stop >= end:
                    break
                if buffer[stop] != _END:
                    raise BadFrame("a frame that does not end")
                at = stop + 1
                complete = self._frame(kind, channel, buffer[start:stop])
                if complete is not None:
                    yield complete
        except (struct.error, LookupError, ValueError, TypeError) as error:
            raise BadFrame(f"a frame that makes no sense: {error}") from error
        finally:
            self._rest = buffer[at:]

    def _frame(self, kind: int, channel: int, payload: bytes) -> Method | Content | None:
        if kind == _BODY:
            content = self._open[channel]
            content[2] -= len(payload)
            content[3].append(payload)
            if content[2] < 0:
                raise BadFrame("a message longer than it says")
        elif kind == _HEADER:
            content = self._open[channel]
            content[2] = _CONTENT.unpack_from(payload)[2]
            # not by __init__: decoding sets every attribute, and they come by the ten thousand
            properties = spec.BasicProperties.__new__(spec.BasicProperties)
            content[1] = properties.decode(payload, _CONTENT.size)
        elif kind == _METHOD:
            method = spec.methods[int.from_bytes(payload[:4], "big")]().decode(payload, 4)
            if method.INDEX not in _WITH_CONTENT:
                return Method(channel, method)
            self._open[channel] = [method, None, None, []]
            return None
        else:
            return None
        if content[2]:
            return None
        del self._open[channel]
        method, properties, _left, pieces = content
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return Content(channel, method, properties, body)


def encode_method(channel: int, method: Any) -> bytes:
    payload = method.INDEX.to_bytes(4, "big") + b"".join(method.encode())
    return _frame(_METHOD, channel, payload)


class Envelope:
    """How messages are published: encoded once for many of them."""

    def __init__(
        self, channel: int, exchange: str, key: str, properties: Any, mandatory: bool = True
    ) -> None:
        """``mandatory``: the broker returns what it can put nowhere. Names have 255 bytes."""
        self.key = key
        self._channel = channel
        method_frame = _publish_frame(channel, exchange, key, mandatory)
        encoded = b"".join(properties.encode())
        size = _CONTENT.size + len(encoded)
        # all before and behind the body's size, of which alone each message has its own
        self._before = method_frame + _FRAME.pack(_HEADER, channel, size) + _CONTENT_START
        self._behind = encoded + bytes([_END])

    def around(self, body: bytes, frame_max: int) -> bytes:
        """The frames of a message. ``frame_max`` in bytes, as agreed with the broker."""
        size, piece = len(body), frame_max - _AROUND
        frames = [self._before, size.to_bytes(8, "big"), self._behind]
        if 0 < size <= piece:
            frames += (_FRAME.pack(_BODY, self._channel, size), body, b"\xce")
            return b"".join(frames)
        for at in range(0, len(body), piece):
            frames.append(_frame(_BODY, self._channel, body[at : at + piece]))
        return b"".join(frames)


@functools.lru_cache(maxsize=1000)
def _publish_frame(channel: int, exchange: str, key: str, mandatory: bool) -> bytes:
    method = spec.Basic.Publish(exchange=exchange, routing_key=key, mandatory=mandatory)
    return encode_method(channel, method)


def _frame(kind: int, channel: int, payload: bytes) -> bytes:
    return b"%b%b\xce" % (_FRAME.pack(kind, channel, len(payload)), payload)
