"""Makes what ``build_topology`` names, or checks that it is there.

Questions that the broker may refuse have a channel of their own: a refusal closes the channel.
"""

from __future__ import annotations

import contextlib
from typing import Any, Final

from thyme.errors import BrokerError

from . import errors
from .connection import Channel, ChannelClosedByBroker, Connection
from .errors import is_missing, make_refused, parse_other_argument
from .topology import (
    EXCHANGE,
    OPERATORS_CHOICE,
    STREAM,
    WORK,
    Exchange,
    Queue,
    Topology,
    build_topology,
    make_job_queue_name,
    make_submit_key,
)

_NO_PERMISSION: Final = 403
_PRECONDITION_FAILED: Final = 406


class TopologyDeclarer:
    """Declares exchanges, queues and bindings, each once for a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channel: Channel | None = None
        self._stream_is_there = False
        #: arguments of the stream as it was declared: an operator may have chosen some
        self.stream_arguments: dict[str, str | int] = {}
        #: pools whose queue is there
        self._pools: set[str] = set()
        #: pools whose queue is there and bound, so that it gets what is submitted
        self._bound: set[str] = set()

    def need_stream(self) -> None:
        """Make all that does not belong to a pool, if any of it is missing."""
        if not self._stream_is_there:
            there = all(self._find_exchange(name) for name in (EXCHANGE, WORK))
            if not there or not self.find_queue(STREAM):
                self.declare(build_topology(()))
            self._stream_is_there = True

    def need_pool(self, pool: str) -> None:
        """Make the pool's queue, to take from, if it is missing."""
        if pool not in self._pools:
            if self.find_queue(make_job_queue_name(pool)) is None:
                self.declare(build_topology((pool,)))
            self._pools.add(pool)

    def need_pool_to_submit(self, pool: str) -> None:
        """Make the pool's queue and its binding, if they are missing.

        Looked at each time: where one is gone, the stream alone would take a message, and its job
        would wait for ever. To bind again what is bound changes nothing, and shows that both are
        there.
        """
        if pool in self._bound:
            with contextlib.suppress(ChannelClosedByBroker):
                self.bind_queue(make_job_queue_name(pool), EXCHANGE, make_submit_key(pool))
                return
        self.declare(build_topology((pool,)))
        self._bound.add(pool)

    def find_queue(self, queue: str) -> Any:
        """Return the broker's Queue.DeclareOk, with its counts; None where there is no such queue.

        Raises BrokerError.
        """
        try:
            return self._call("queue_declare", queue, passive=True)
        except ChannelClosedByBroker as error:
            if is_missing(error.reply_code, error.reply_text):
                return None
            raise self._translate(error) from error

    def _find_exchange(self, exchange: str) -> bool:
        try:
            self._call("exchange_declare", exchange, passive=True)
        except ChannelClosedByBroker as error:
            if is_missing(error.reply_code, error.reply_text):
                return False
            raise self._translate(error) from error
        return True

    def declare(self, wanted: Topology) -> None:
        """Make what is missing and check what is there; raises BrokerRefused.

        A user who may make nothing is content if all is there.
        """
        may_make = True
        for exchange in wanted.exchanges:
            may_make = self._declare_exchange(exchange) and may_make
        for queue in wanted.queues:
            self._declare_lasting_queue(queue, may_make)
        if may_make:
            for binding in wanted.bindings:
                try:
                    self.bind_queue(binding.queue, binding.exchange, binding.key)
                except ChannelClosedByBroker as error:
                    raise self._translate(error) from error

    def declare_queue(self, queue: str, **options: Any) -> None:
        """Declare one queue; raises ChannelClosedByBroker, BrokerError."""
        self._call("queue_declare", queue, **options)

    def bind_queue(self, queue: str, exchange: str, key: str) -> None:
        """Bind one queue; raises ChannelClosedByBroker, BrokerError.

        Messages that come to ``exchange`` with the routing key ``key`` go to ``queue``.
        """
        self._call("queue_bind", queue, exchange, routing_key=key)

    def purge_queue(self, queue: str) -> int:
        """Remove the ready messages and return how many.

        Raises ChannelClosedByBroker, BrokerError.
        """
        return int(self._call("queue_purge", queue).message_count)

    def close_channel(self) -> None:
        """Close the channel: thousands of idle workers need no second one."""
        if self._channel is not None:
            self._connection.close_channel(self._channel)
            self._channel = None

    def _call(self, method: str, *arguments: Any, **options: Any) -> Any:
        if self._channel is None or not self._channel.is_open:
            self.close_channel()
            self._channel = self._connection.open_channel()
        return self._connection.call(getattr(self._channel, method), *arguments, **options)

    def _declare_exchange(self, exchange: Exchange) -> bool:
        """Declare an exchange, and return whether this user may make exchanges."""
        try:
            self._call("exchange_declare", exchange.name, exchange.type, durable=exchange.durable)
            return True
        except ChannelClosedByBroker as error:
            if error.reply_code != _NO_PERMISSION:
                raise self._translate(error) from error
        try:
            self._call("exchange_declare", exchange.name, passive=True)
        except ChannelClosedByBroker as error:
            raise self._translate(error) from error
        return False

    def _declare_lasting_queue(self, queue: Queue, may_make: bool) -> None:
        arguments = dict(queue.arguments)
        options = {"durable": queue.durable, "arguments": arguments}
        for _ in range(len(arguments) + len(OPERATORS_CHOICE)):
            try:
                self.declare_queue(queue.name, **(options if may_make else {"passive": True}))
                if queue.name == STREAM:
                    self.stream_arguments = arguments
                return
            except ChannelClosedByBroker as error:
                differs = may_make and error.reply_code == _PRECONDITION_FAILED
                if not differs or not _take_operators_choice(arguments, error.reply_text):
                    raise self._translate(error) from error
        raise make_refused(
            self._connection.address, f"queue {queue.name!r} exists with other arguments"
        )

    def _translate(self, error: ChannelClosedByBroker) -> BrokerError:
        return errors.translate_close(self._connection.address, error.reply_code, error.reply_text)


def _take_operators_choice(arguments: dict[str, str | int], text: str) -> bool:
    """Take an argument that the operator may choose as the broker says that it is.

    Whether it was one; ``arguments`` are changed, ``text`` is the broker's refusal.
    """
    found = parse_other_argument(text)
    if found is None or found[0] not in OPERATORS_CHOICE:
        return False
    name, kind, value = found
    if not kind:
        return arguments.pop(name, None) is not None
    arguments[name] = value if kind == "longstr" else int(value)
    return True
