"""A TCP proxy whose connections can be cut without client and server noticing.

While it is cut, nothing arrives on either side and nobody is told, as where packets are dropped;
what was sent meanwhile arrives after it is mended, as TCP would send it again.
"""

import contextlib
import select
import socket
import threading

from tests.support.services.rabbitmq import free_port

_PIECE = 65536


class CuttableConnection:
    """Listens on ``port``; leads to ``target`` on loopback."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self._target = target
        self._cut = threading.Event()
        self._ended = threading.Event()
        self._door = socket.create_server(("127.0.0.1", self.port), backlog=256)
        self._door.setblocking(False)
        self._changed_end, self._change = socket.socketpair()
        #: each socket → the other side of its connection
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._waiting: dict[socket.socket, bytes] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        self._cut.set()
        self._change.send(b"x")

    def mend(self) -> None:
        self._cut.clear()
        self._change.send(b"x")

    def close(self) -> None:
        self._ended.set()
        self._change.send(b"x")
        self._thread.join(10.0)
        for one in (self._door, self._change, self._changed_end, *self._pairs):
            one.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            reading: list[socket.socket] = [self._changed_end]
            if not self._cut.is_set():
                reading += [self._door]
                reading += [one for one, other in self._pairs.items() if not self._waiting[other]]
            writing = [] if self._cut.is_set() else [o for o in self._pairs if self._waiting[o]]
            poll = select.poll()
            for one in {*reading, *writing}:
                poll.register(
                    one,
                    (select.POLLIN if one in reading else 0)
                    | (select.POLLOUT if one in writing else 0),
                )
            ready = {number for number, _event in poll.poll()}
            for one in writing:
                if one.fileno() in ready and one in self._pairs:
                    self._write(one)
            for one in reading:
                if one.fileno() in ready:
                    self._read(one)

    def _read(self, one: socket.socket) -> None:
        if one is self._changed_end:
            one.recv(_PIECE)
        elif one is self._door:
            with contextlib.suppress(OSError):
                self._accept()
        elif one in self._pairs:
            try:
                data = one.recv(_PIECE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if data:
                self._waiting[self._pairs[one]] = data
                self._write(self._pairs[one])
            else:
                self._drop(one)

    def _accept(self) -> None:
        client, _address = self._door.accept()
        try:
            server = socket.create_connection(("127.0.0.1", self._target), 10.0)
        except OSError:
            client.close()
            return
        for one, other in ((client, server), (server, client)):
            one.setblocking(False)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pairs[one], self._waiting[one] = other, b""

    def _write(self, one: socket.socket) -> None:
        try:
            sent = one.send(self._waiting[one])
        except BlockingIOError:
            return
        except OSError:
            self._drop(one)
            return
        self._waiting[one] = self._waiting[one][sent:]

    def _drop(self, one: socket.socket) -> None:
        for end in (one, self._pairs[one]):
            del self._pairs[end], self._waiting[end]
            end.close()
