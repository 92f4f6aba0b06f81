"""Makes what ``amqp_topology`` names, or sees that it is there.

Questions that the broker may refuse have a channel of their own: a refusal ends the channel.
"""

from __future__ import annotations

from typing import Any, Final

from thyme.errors import BrokerError

from . import errors
from .channel import Channel
from .connection import Line
from .errors import ChannelClosed, is_missing, other_argument, refused
from .frames import spec
from .topology import (
    EXCHANGE,
    OPERATORS_CHOICE,
    STREAM,
    WORK,
    Exchange,
    Queue,
    Topology,
    job_queue,
    topology,
)

_NO_PERMISSION: Final = 403
_OTHERWISE: Final = 406


class Setup:
    def __init__(self, line: Line) -> None:
        self._line = line
        self._channel: Channel | None = None
        self._stream_is_there = False
        #: pools whose queue is there
        self._pools: set[str] = set()
        #: pools whose queue is there, and gets what is submitted
        self._bound: set[str] = set()

    def need_stream(self) -> None:
        """All that does not belong to a pool; made if any of it is missing."""
        if not self._stream_is_there:
            exchanges = [
                spec.Exchange.Declare(exchange=name, passive=True) for name in (EXCHANGE, WORK)
            ]
            if not all(self._is_there(declare) for declare in exchanges) or not self.look(STREAM):
                self.declare_topology(topology(()))
            self._stream_is_there = True

    def need_pool(self, pool: str) -> None:
        """The pool's queue, to take from."""
        if pool not in self._pools:
            if self.look(job_queue(pool)) is None:
                self.declare_topology(topology((pool,)))
            self._pools.add(pool)

    def need_pool_to_submit(self, pool: str) -> Any:
        """The pool's queue, as the broker describes it now; bound, too.

        Looked at each time: where it is gone, the stream alone would take a message, and its job
        would wait for ever.
        """
        if pool not in self._bound or (found := self.look(job_queue(pool))) is None:
            self.declare_topology(topology((pool,)))
            self._bound.add(pool)
            found = self.look(job_queue(pool))
        return found

    def look(self, queue: str) -> Any:
        """What the broker says of a queue: its answer, or None where there is no such queue."""
        return self._is_there(spec.Queue.Declare(queue=queue, passive=True))

    def _is_there(self, passive: Any) -> Any:
        try:
            return self.ask(passive)
        except ChannelClosed as error:
            if is_missing(error):
                return None
            raise self._translated(error) from error

    def declare_topology(self, wanted: Topology) -> None:
        """Make what is missing and check what is there; raises BrokerRefused.

        A user who may make nothing is content if all is there.
        """
        may_make = True
        for exchange in wanted.exchanges:
            may_make = self._exchange(exchange) and may_make
        for queue in wanted.queues:
            self._queue(queue, may_make)
        if may_make:
            for binding in wanted.bindings:
                self._try(
                    spec.Queue.Bind(
                        queue=binding.queue, exchange=binding.exchange, routing_key=binding.key
                    )
                )

    def ask(self, method: Any) -> Any:
        """Raises ChannelClosed, BrokerError."""
        if self._channel is None or self._channel.ended is not None:
            self._channel = self._line.channel()
        return self._channel.ask(method)

    def rest(self) -> None:
        """Nothing is to be asked for a while: thousands of idle workers need no second channel."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _try(self, method: Any) -> Any:
        try:
            return self.ask(method)
        except ChannelClosed as error:
            raise self._translated(error) from error

    def _exchange(self, exchange: Exchange) -> bool:
        """Whether we may make exchanges; it is there afterwards."""
        declare = spec.Exchange.Declare(
            exchange=exchange.name, type=exchange.type, durable=exchange.durable
        )
        try:
            self.ask(declare)
            return True
        except ChannelClosed as error:
            if error.code != _NO_PERMISSION:
                raise self._translated(error) from error
        self._try(spec.Exchange.Declare(exchange=exchange.name, passive=True))
        return False

    def _queue(self, queue: Queue, may_make: bool) -> None:
        if not may_make:
            self._try(spec.Queue.Declare(queue=queue.name, passive=True))
            return
        arguments = dict(queue.arguments)
        for _ in range(len(arguments) + len(OPERATORS_CHOICE)):
            declare = spec.Queue.Declare(
                queue=queue.name, durable=queue.durable, arguments=arguments
            )
            try:
                self.ask(declare)
                return
            except ChannelClosed as error:
                if error.code != _OTHERWISE or not _as_it_is(arguments, error.text):
                    raise self._translated(error) from error
        raise refused(self._line.place, f"queue {queue.name!r} exists with other arguments")

    def _translated(self, error: ChannelClosed) -> BrokerError:
        return errors.closed(self._line.place, error.code, error.text)


def _as_it_is(arguments: dict[str, str | int], text: str) -> bool:
    """Take what the operator may choose as the broker says that it is; whether that was it."""
    found = other_argument(text)
    if found is None or found[0] not in OPERATORS_CHOICE:
        return False
    name, kind, value = found
    if not kind:
        return arguments.pop(name, None) is not None
    arguments[name] = value if kind == "longstr" else int(value)
    return True
