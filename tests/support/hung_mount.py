"""A real mount whose file server does not answer: FUSE, with a server that stops answering.

The kernel blocks a process that opens a file there, without end, as with NFS. ``answer`` lets the
server go on: each file can then be made and written, and what was written is kept.
"""

import ctypes
import errno
import os
import stat
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_libc = ctypes.CDLL(None, use_errno=True)
_DETACH = 2
# operations of linux/fuse.h
_LOOKUP, _FORGET, _GETATTR, _SETATTR, _OPEN, _READ, _WRITE = 1, 2, 3, 4, 14, 15, 16
_RELEASE, _FLUSH, _INIT, _CREATE, _INTERRUPT, _BATCH_FORGET = 18, 25, 26, 35, 36, 42
_ROOT = 1


class HungMount:
    """A directory of one level of files, in memory."""

    def __init__(self, where: Path) -> None:
        self.where = where
        self._device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self._device},rootmode=40777,user_id=0,group_id=0,allow_other"
        flags = 2 | 4  # nosuid, nodev
        if _libc.mount(b"hung", bytes(where), b"fuse", flags, options.encode()) != 0:
            number = ctypes.get_errno()
            os.close(self._device)
            raise OSError(number, os.strerror(number), str(where))
        self._names: dict[str, int] = {}
        self._files: dict[int, bytearray] = {}
        self._answering = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def answer(self) -> None:
        """Answer what was asked and what is asked from now on."""
        self._answering.set()

    def hang(self) -> None:
        """Block every request from now on."""
        self._answering.clear()

    def content(self, name: str) -> bytes:
        """Return what was written into a file."""
        return bytes(self._files[self._names[name]]) if name in self._names else b""

    def close(self) -> None:
        """Detach the mount; who waits for it is told that it is gone."""
        _libc.umount2(bytes(self.where), _DETACH)
        os.close(self._device)

    def _serve(self) -> None:
        while True:
            try:
                request = os.read(self._device, 1 << 20)
            except OSError as error:
                if error.errno == errno.EINTR:
                    continue
                return
            _size, operation, unique, node = struct.unpack_from("<IIQQ", request)
            if operation == _INIT:
                # version 7.31, writes of 64 KiB, no options
                self._reply(unique, struct.pack("<IIIIHHII36x", 7, 31, 0, 0, 0, 0, 65536, 0))
                continue
            if operation in (_FORGET, _BATCH_FORGET, _INTERRUPT):
                continue
            self._answering.wait()
            try:
                self._reply(unique, self._answer(operation, node, request[40:]))
            except OSError as error:
                self._reply(unique, b"", -(error.errno or errno.EIO))

    def _reply(self, unique: int, body: bytes, error: int = 0) -> None:
        try:
            os.write(self._device, struct.pack("<IiQ", 16 + len(body), error, unique) + body)
        except OSError:
            pass  # the process that asked has ended

    def _answer(self, operation: int, node: int, body: bytes) -> bytes:
        if operation == _LOOKUP:
            name = os.fsdecode(body.rstrip(b"\0"))
            if name not in self._names:
                raise FileNotFoundError(errno.ENOENT, name)
            return self._entry(self._names[name])
        if operation in (_GETATTR, _SETATTR):
            return struct.pack("<QII", 0, 0, 0) + self._attributes(node)
        if operation == _CREATE:
            name = os.fsdecode(body[16:].rstrip(b"\0"))
            new = self._names.setdefault(name, len(self._names) + 2)
            self._files.setdefault(new, bytearray())
            return self._entry(new) + struct.pack("<QII", 0, 1, 0)
        if operation == _OPEN:
            return struct.pack("<QII", 0, 1, 0)  # read and write past the page cache
        if operation == _READ:
            _handle, offset, size = struct.unpack_from("<QQI", body)
            return bytes(self._files[node][offset : offset + size])
        if operation == _WRITE:
            _handle, offset, size = struct.unpack_from("<QQI", body)
            self._files[node][offset : offset + size] = body[40 : 40 + size]
            return struct.pack("<II", size, 0)
        if operation in (_RELEASE, _FLUSH):
            return b""
        raise OSError(errno.ENOSYS, "not served")

    def _entry(self, node: int) -> bytes:
        return struct.pack("<QQQQII", node, 0, 0, 0, 0, 0) + self._attributes(node)

    def _attributes(self, node: int) -> bytes:
        mode = stat.S_IFDIR | 0o777 if node == _ROOT else stat.S_IFREG | 0o666
        size = len(self._files.get(node, b""))
        return struct.pack(
            "<QQQQQQIIIIIIIIII", node, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0
        )


@contextmanager
def hung_mount(where: Path) -> Iterator[HungMount]:
    """Mount a hung directory; skips the test where this machine does not let us."""
    where.mkdir()
    try:
        mount = HungMount(where)
    except OSError as error:
        pytest.skip(f"no FUSE here: {error}")
    try:
        yield mount
    finally:
        mount.close()
