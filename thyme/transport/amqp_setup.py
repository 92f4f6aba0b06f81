"""Makes what ``amqp_topology`` names, or sees that it is there.

Each question that the broker may refuse has a channel of its own: a refusal ends the channel.
"""

from __future__ import annotations

from typing import Any, Final

from ..errors import BrokerError
from . import amqp_errors
from .amqp_errors import ChannelClosed, other_argument, refused
from .amqp_frames import spec
from .amqp_line import Line
from .amqp_topology import (
    OPERATORS_CHOICE,
    STREAM,
    Exchange,
    Queue,
    Topology,
    job_queue,
    topology,
)

_NO_PERMISSION: Final = 403
_NOT_FOUND: Final = 404
_OTHERWISE: Final = 406


class Setup:
    def __init__(self, line: Line) -> None:
        self._line = line
        self._known: set[str] = set()

    def need_stream(self) -> None:
        """The stream, and with it all that does not belong to a pool; made if it is missing."""
        self._need(STREAM, ())

    def need_pool(self, pool: str, anew: bool = False) -> None:
        """The pool's queue; ``anew``: look again although it was there."""
        if anew:
            self._known.discard(job_queue(pool))
        self._need(job_queue(pool), (pool,))

    def _need(self, queue: str, pools: tuple[str, ...]) -> None:
        if queue in self._known:
            return
        if self.look(queue) is None:
            self.establish(topology(pools))
        self._known.add(queue)

    def look(self, queue: str) -> Any:
        """What the broker says of a queue: its answer, or None where there is no such queue."""
        try:
            return self.ask(spec.Queue.Declare(queue=queue, passive=True))
        except ChannelClosed as error:
            if error.code == _NOT_FOUND:
                return None
            raise self._translated(error) from error

    def establish(self, wanted: Topology) -> None:
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
        channel = self._line.channel()
        try:
            return channel.ask(method)
        finally:
            channel.close()

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
        return amqp_errors.closed(self._line.place, error.code, error.text)


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
