"""Reads and writes the bytes after a message's header: file contents and output, deflated."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any, Final

from thyme.errors import MessageTooLarge

#: Bytes of a blob below which deflating it is not worth the time.
_DEFLATE_FROM = 256
#: Bytes. The largest message that an unmodified RabbitMQ of every supported release
#: takes (max_message_size is 16 MiB from 4.0 on).
MAX_SIZE: Final = 16 * 1024 * 1024
#: Bytes that all blobs of one message may inflate to: a small message must not fill the memory.
MAX_INFLATED: Final = 256 * 1024 * 1024

#: Whole numbers are below this: every database and language at the other end holds them.
_NUMBER_LIMIT: Final = 2**63
#: By the identity of some bytes: they, which keeps the identity theirs, and they deflated.
Deflated = dict[int, tuple[bytes, bytes]]


class BlobWriter:
    """Collects the bytes after the header."""

    def __init__(self, deflated: Deflated | None = None) -> None:
        """``deflated``: what messages that share their files keep of each other."""
        self._deflated: Deflated = {} if deflated is None else deflated
        self.parts: list[bytes] = []
        self.size = 0
        self.inflated = 0

    def put(self, data: Any) -> dict[str, int]:
        """Append some bytes, and return their place for the header; raises ValueError."""
        if not isinstance(data, bytes):
            raise ValueError("bytes")
        self.inflated += len(data)
        if self.inflated > MAX_INFLATED:  # what nobody would read must not be sent
            raise MessageTooLarge(
                f"{self.inflated} bytes of files and output; the limit is {MAX_INFLATED}"
            )
        stored = data
        if len(data) >= _DEFLATE_FROM:
            if id(data) not in self._deflated:
                self._deflated[id(data)] = (data, zlib.compress(data, 1))
            deflated = self._deflated[id(data)][1]
            if len(deflated) < len(data):
                stored = deflated
        place = {"at": self.size, "size": len(stored)}
        if stored is not data:
            place["raw"] = len(data)
        self.parts.append(stored)
        self.size += len(stored)
        return place

    def put_chunks(self, chunks: Iterable[bytes]) -> dict[str, int]:
        """Put chunks as ``put`` does bytes; they are never all in memory."""
        deflater, at, raw = zlib.compressobj(1), self.size, 0
        for chunk in chunks:
            raw += len(chunk)
            self.inflated += len(chunk)
            self._append(deflater.compress(chunk))
        self._append(deflater.flush())
        return {"at": at, "size": self.size - at, "raw": raw}

    def _append(self, piece: bytes) -> None:
        if piece:
            self.parts.append(piece)
            self.size += len(piece)
        if self.size > MAX_SIZE or self.inflated > MAX_INFLATED:
            raise MessageTooLarge(
                f"more than {MAX_SIZE} bytes of files and output, deflated, or "
                f"{MAX_INFLATED} before that; these are the limits of a message"
            )


class BlobReader:
    """Reads the bytes after the header."""

    def __init__(self, data: memoryview, wanted: bool = True) -> None:
        """``wanted``: False for a reader that needs the header only: all bytes are then zeros."""
        self.data = data
        self._wanted = wanted
        self.left = MAX_INFLATED
        # no two fields share bytes: together they name each stored byte at most once
        self._unread = len(data)

    def get(self, place: Any) -> bytes:
        """Return the bytes at a place of the header; raises ValueError."""
        if not isinstance(place, dict):
            raise ValueError("the place of some bytes")
        start, size = check_count(place.get("at")), check_count(place.get("size"))
        piece = self.data[start : start + size]
        if len(piece) != size:
            raise ValueError("bytes that are in the message (it is cut short)")
        self._unread -= size
        if self._unread < 0:
            raise ValueError("bytes that no other field has")
        if "raw" not in place:
            return bytes(piece)
        raw = check_count(place["raw"])
        self.left -= raw
        if self.left < 0:
            raise ValueError(f"less than {MAX_INFLATED} bytes in all")
        if not self._wanted:
            return bytes(raw)
        try:
            inflater = zlib.decompressobj()
            data = inflater.decompress(piece, raw + 1)
        except zlib.error as error:
            raise ValueError("deflated bytes") from error
        if len(data) != raw or not inflater.eof:
            raise ValueError("bytes of the length that it gives")
        return data


def check_integer(value: Any) -> int:
    """Return ``value`` if it is a whole number of 64 bits; raises ValueError."""
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= _NUMBER_LIMIT:
        raise ValueError("a whole number below 2**63")
    return value


def check_count(value: Any) -> int:
    """Return ``value`` if it is a whole number from 0; raises ValueError."""
    if check_integer(value) < 0:
        raise ValueError("a whole number from 0")
    return int(value)
