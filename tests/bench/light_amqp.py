"""The least of AMQP 0-9-1 that a worker speaks, for thousands of connections in one process.

pika costs some hundred KiB and milliseconds a connection; here it only writes and reads frames.
One connection has one channel. Whatever the broker closes with is raised where it is awaited.
"""

import asyncio
import struct
from collections import deque
from typing import Any

from pika import frame, spec

_HEADER = struct.Struct(">BHI")
_METHOD, _CONTENT, _BODY = spec.FRAME_METHOD, spec.FRAME_HEADER, spec.FRAME_BODY
#: The three that come by the thousand are read here, as pika takes 30 us for each: a method's
#: number, Ack's tag and flag, Deliver's tag and flag, the size in a header.
_INDEX = struct.Struct(">I")
_TAG = struct.Struct(">QB")
_SIZE = struct.Struct(">Q")


class Closed(Exception):
    """The broker closed the connection or the channel; the text is its own."""


class Message:
    """What was delivered to the consumer ``consumer``, or returned (then that is "")."""

    def __init__(self, consumer: str, tag: int) -> None:
        self.consumer = consumer
        self.tag = tag
        self.body = b""
        self.size = 0


class LightConnection(asyncio.Protocol):
    def __init__(self, user: str, password: str, vhost: str) -> None:
        self._login = (user, password, vhost)
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._answers: deque[asyncio.Future[Any]] = deque()
        self._confirms: dict[int, asyncio.Future[bool]] = {}
        self._published = 0
        self._content: Message | None = None
        self._returned: set[int] = set()
        self._consumers: dict[str, Any] = {}
        self._error: Exception | None = None
        self.transport: Any = None

    # --- asyncio's side ---------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(b"AMQP\0\0\x09\x01")

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(error or Closed("the connection is closed"))

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        at, end = 0, len(data)
        while end - at >= 8:
            kind, _channel, size = _HEADER.unpack_from(data, at)
            stop = at + 8 + size
            if stop > end:
                break
            self._frame(kind, data, at, stop)
            at = stop
        self._buffer = data[at:]

    def _frame(self, kind: int, data: bytes, at: int, stop: int) -> None:
        if kind == _BODY:
            assert self._content is not None
            self._content.body += data[at + 7 : stop - 1]
            self._complete()
            return
        if kind == _CONTENT:
            assert self._content is not None
            (self._content.size,) = _SIZE.unpack_from(data, at + 11)
            self._complete()
            return
        index = _INDEX.unpack_from(data, at + 7)[0] if kind == _METHOD else 0
        if index == spec.Basic.Ack.INDEX:
            self._confirmed(*_TAG.unpack_from(data, at + 11))
        elif index == spec.Basic.Deliver.INDEX:
            end = at + 12 + data[at + 11]
            self._content = Message(data[at + 12 : end].decode(), _TAG.unpack_from(data, end)[0])
        else:
            _used, read = frame.decode_frame(data[at:stop])
            if kind == _METHOD:
                self._method(read.method)
            elif kind == spec.FRAME_HEARTBEAT:
                self.transport.write(frame.Heartbeat().marshal())

    def _complete(self) -> None:
        content = self._content
        if content is None or len(content.body) < content.size:
            return
        self._content = None
        if content.consumer:
            self._consumers[content.consumer](content)
        else:
            # the confirm of a returned message comes right after it
            self._returned.add(min(self._confirms, default=0))

    def _confirmed(self, upto: int, multiple: int) -> None:
        for tag in [t for t in self._confirms if t == upto or (multiple and t < upto)]:
            self._confirms.pop(tag).set_result(tag not in self._returned)

    def _method(self, method: Any) -> None:
        if isinstance(method, spec.Basic.Return):
            self._content = Message("", 0)
        elif isinstance(method, (spec.Connection.Close, spec.Channel.Close)):
            self._fail(Closed(f"{method.reply_code} {method.reply_text}"))
        elif isinstance(method, spec.Connection.Start):
            self._start(method)
        elif isinstance(method, spec.Connection.Tune):
            # no heartbeats: an idle worker of the bench is to cost the generator nothing
            self.send(spec.Connection.TuneOk(1, method.frame_max, 0), 0)
            self.send(spec.Connection.Open(self._login[2], insist=True), 0)
        elif self._answers:
            answer = self._answers.popleft()
            if not answer.done():
                answer.set_result(method)

    def _start(self, _method: Any) -> None:
        user, password, _vhost = self._login
        # a worker asks for the same, so that the broker spends the same on it
        can = {"publisher_confirms": True, "basic.nack": True, "consumer_cancel_notify": True}
        secret = f"\0{user}\0{password}"
        self.send(spec.Connection.StartOk({"capabilities": can}, "PLAIN", secret, "en_US"), 0)

    def _fail(self, error: Exception) -> None:
        self._error = self._error or error
        waiting = [*self._answers, *self._confirms.values()]
        self._answers.clear()
        self._confirms.clear()
        for future in waiting:
            if not future.done():
                future.set_exception(self._error)

    # --- a worker's side --------------------------------------------------------------

    def send(self, method: Any, channel: int = 1) -> None:
        self.transport.write(frame.Method(channel, method).marshal())

    def answer(self) -> asyncio.Future[Any]:
        """Return the broker's next answer to a method; answers come in the order of the methods."""
        future = self._loop.create_future()
        if self._error is not None:
            future.set_exception(self._error)
        else:
            self._answers.append(future)
        return future

    async def ask(self, method: Any) -> Any:
        future = self.answer()
        self.send(method)
        return await future

    async def consume(self, queue: str, handler: Any, no_ack: bool) -> str:
        """Start a consumer and return its tag; ``handler`` gets each Message."""
        tag = f"c{len(self._consumers)}"
        self._consumers[tag] = handler
        await self.ask(spec.Basic.Consume(queue=queue, consumer_tag=tag, no_ack=no_ack))
        return tag

    def publish(
        self, exchange: str, key: str, body: bytes, properties: Any, mandatory: bool = True
    ) -> asyncio.Future[bool]:
        """Publish; the future is true when confirmed, false when nobody listens there."""
        self._published += 1
        future: asyncio.Future[bool] = self._loop.create_future()
        self._confirms[self._published] = future
        method = spec.Basic.Publish(exchange=exchange, routing_key=key, mandatory=mandatory)
        self.transport.write(
            frame.Method(1, method).marshal()
            + frame.Header(1, len(body), properties).marshal()
            + (frame.Body(1, body).marshal() if body else b"")
        )
        return future

    def ack(self, message: Message) -> None:
        self.send(spec.Basic.Ack(message.tag))


async def connect(host: str, port: int, user: str, password: str, vhost: str) -> LightConnection:
    """Open a connection with a channel in confirm mode."""
    loop = asyncio.get_running_loop()
    _transport, made = await loop.create_connection(
        lambda: LightConnection(user, password, vhost), host, port
    )
    await made.answer()
    await made.ask(spec.Channel.Open())
    await made.ask(spec.Confirm.Select())
    return made
