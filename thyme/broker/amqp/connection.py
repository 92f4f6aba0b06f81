"""One connection to RabbitMQ, by pika. The one module that imports pika.

Every call waits for the broker's answer, at most as long as the address's ``timeout``. pika's
``BlockingConnection`` cannot do that: it waits for ever where the broker is silent or takes no
messages (https://github.com/pika/pika/issues/647 and 764), it confirms each message before the
next is sent, and a signal handler cannot wake it. So the event loop of pika's ``SelectConnection``
is run here, in the caller's thread: ``pump`` runs it once, and between two calls nothing happens,
so the caller has to call ``pump`` at least once in each heartbeat.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from pika import BasicProperties, ConnectionParameters, PlainCredentials, SelectConnection
from pika import SSLOptions as PikaTls
from pika import data as pika_data
from pika.adapters.select_connection import IOLoop
from pika.adapters.utils.connection_workflow import (
    AMQPConnectionWorkflowFailed,
    AMQPConnectorPhaseErrorBase,
    AMQPConnectorStackTimeout,
    AMQPConnectorTransportSetupError,
)
from pika.channel import Channel
from pika.credentials import ExternalCredentials
from pika.exceptions import (
    AMQPConnectionError,
    AMQPError,
    AMQPHeartbeatTimeout,
    AuthenticationError,
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
    ConnectionClosedByClient,
    ConnectionOpenAborted,
    IncompatibleProtocolError,
)
from pika.spec import Basic

from thyme.broker.users import VOBOX
from thyme.broker.wakeup import Wakeup
from thyme.errors import BrokerError

from . import errors, tls
from .errors import make_login_refused, make_refused, make_unreachable
from .url import BrokerAddress

__all__ = ["Basic", "BasicProperties", "Channel", "ChannelClosedByBroker", "Connection"]

#: Seconds for a TCP connection to one address: the next one may answer at once.
CONNECT_TIMEOUT: Final = 10.0
#: Seconds that the broker may take to answer when we close the connection.
_CLOSE_TIMEOUT: Final = 5.0
#: Bytes sent or received that count as progress towards an answer, which may be behind them.
_PROGRESS: Final = 64 * 1024
#: Timeouts after which even progress does not count: mail and heartbeats keep coming on a
#: connection whose question is never answered.
_MOST_TIMEOUTS: Final = 10
_ACCESS_REFUSED: Final = 403
#: A Connection.Close as pika puts it into the text of another error.
_CLOSED: Final = re.compile(r"ConnectionClosedByBroker: \((\d+)\) ['\"](.*)['\"]")
#: An error of the socket as pika puts it into the text of another error.
_OS_ERROR: Final = re.compile(r"Error\((\d+), '([^']*)'\)")

T = TypeVar("T")

# pika writes each failure to its log with a traceback; here it is raised as one line
logging.getLogger("pika").setLevel(logging.CRITICAL)

_decode_value: Final = pika_data.decode_value


def _decode_any_value(encoded: bytes, offset: int) -> tuple[Any, int]:
    """Decode a value of a message's headers, and return the offset behind it; None for an odd one.

    pika raises for a time after the year 9999 and for tables a thousand deep, and the connection
    would be lost: a worker could so keep the schedd from the stream for as long as that has it.
    """
    try:
        found: tuple[Any, int] = _decode_value(encoded, offset)
    except (ArithmeticError, OSError, ValueError, RecursionError):
        kind, offset = encoded[offset : offset + 1], offset + 1
        length = 4 + int.from_bytes(encoded[offset : offset + 4], "big")
        sizes = {b"A": length, b"F": length, b"f": 4}
        return None, offset + sizes.get(kind, 8)
    return found


pika_data.decode_value = _decode_any_value


class _PikaConnection(SelectConnection):  # type: ignore[misc]
    """Opens to us what pika has for its adapters, and sends many frames at once, when told to.

    pika itself calls ``send`` for each frame, so three times a message, and only after a round of
    its event loop.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._collected: list[bytes] = []
        self._collected_bytes = 0
        super().__init__(*arguments, **named)

    def _adapter_emit_data(self, data: bytes) -> None:
        self._collected.append(data)
        self._collected_bytes += len(data)

    def flush(self) -> None:
        """Send what was collected; the event loop sends what the socket does not take now."""
        if self._collected and self._transport is not None:
            super()._adapter_emit_data(b"".join(self._collected))
            # as the event loop would do in its next round, which most answers need not wait for
            self._transport._on_socket_writable()
        self._collected.clear()
        self._collected_bytes = 0

    @property
    def unsent_bytes(self) -> int:
        waiting = 0 if self._transport is None else int(self._get_write_buffer_size())
        return self._collected_bytes + waiting

    @property
    def undecoded_bytes(self) -> int:
        """Bytes received that are no whole frame yet."""
        return len(self._frame_buffer)

    def abort(self) -> None:
        """Close the socket without telling the broker; pika itself would wait for an answer."""
        self._terminate_stream(ConnectionClosedByClient(200, "aborted"))


class Connection:
    """A connection, its channels and its calls; raises BrokerError once it is lost."""

    def __init__(self, address: BrokerAddress, wakeup: Wakeup) -> None:
        """Connect and log in; raises BrokerError. ``wakeup`` ends a ``pump`` early."""
        self.address = address
        #: why the broker takes no messages now; "" when it does
        self.blocked = ""
        #: whether something came that nobody waited for, since this was last set to False
        self.news = False
        self._error: BrokerError | None = None
        self._close_reasons: dict[Channel, ChannelClosedByBroker] = {}
        #: the answer to ``get``
        self._got: list[Any] = []
        self._wakeup = wakeup
        self._woken = False
        parameters = _make_parameters(address)
        self._loop = IOLoop()
        self._loop.activate_poller()
        self._loop.add_handler(wakeup.fileno, self._on_wakeup, IOLoop.READ)
        self._pika = _PikaConnection(
            parameters,
            on_open_error_callback=self._on_lost,
            on_close_callback=self._on_lost,
            custom_ioloop=self._loop,
        )
        self._pika.add_on_connection_blocked_callback(self._on_blocked)
        self._pika.add_on_connection_unblocked_callback(self._on_unblocked)
        try:
            while not self._pika.is_open:
                self.pump(1.0)
        except BaseException:
            self.close()
            raise

    def name_sender(self, properties: BasicProperties) -> str | None:
        """Return who sent a message: "" if it does not say, None where users have other names.

        Users are those of ``thyme-admin roles`` where ours is one of them.
        """
        return (properties.user_id or "") if self.address.user == VOBOX else None

    # --- bytes --------------------------------------------------------------------------

    def flush(self) -> None:
        """Send what is possible now, and receive nothing. Raises BrokerError."""
        self._check()
        self._pika.flush()

    def pump(self, timeout: float) -> bool:
        """Send and receive what is possible now, waiting at most ``timeout`` seconds for a byte.

        Returns whether the wakeup ended it. Raises BrokerError.
        """
        self.flush()
        timer = self._loop.call_later(max(timeout, 0.0), _do_nothing)
        self._loop.poll()
        self._loop.remove_timeout(timer)
        self._loop.process_timeouts()
        self._pika.flush()
        self._check()
        woken, self._woken = self._woken, False
        return woken

    def wait_until(
        self,
        answer: Callable[[], T | None],
        what: str,
        progress: Callable[[], object] | None = None,
    ) -> T:
        """Pump until ``answer`` returns something, and return that.

        ``what`` names the answer in the error. Raises BrokerUnreachable when ``progress`` (by
        default: of bytes) returned the same for the address's timeout, and after ten timeouts.
        """
        timeout = self.address.timeout
        progress = progress or self._count_progress
        began = moved = time.monotonic()
        seen = progress()
        while (found := answer()) is None:
            left = moved + timeout - time.monotonic()
            if left <= 0:
                raise self.fail(self._make_late_error(what))
            self.pump(min(1.0, left))
            now, now_seen = time.monotonic(), progress()
            endless = now - began > _MOST_TIMEOUTS * timeout
            if now_seen != seen and not self.blocked and not endless:
                seen, moved = now_seen, now
        return found

    @property
    def unsent_bytes(self) -> int:
        """Bytes that wait for the next ``flush`` or ``pump``."""
        return self._pika.unsent_bytes

    def _count_progress(self) -> int:
        sent = self._pika.bytes_sent - self._pika.unsent_bytes
        return int(self._pika.bytes_received + sent) // _PROGRESS

    def _make_late_error(self, what: str) -> BrokerError:
        if self.blocked:
            text = f"it takes no messages now ({self.blocked}); it needs an admin"
        else:
            text = f"no answer within {self.address.timeout:g} s ({what})"
        return make_unreachable(self.address, text)

    # --- channels -----------------------------------------------------------------------

    def open_channel(self) -> Channel:
        """Open a channel; raises BrokerError."""
        self._check()
        opened: list[Channel] = []
        channel = self._pika.channel(on_open_callback=opened.append)
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_callback(self._on_get_empty, [Basic.GetEmpty], one_shot=False)
        self.wait_until(lambda: opened or None, "channel_open")
        return channel

    def close_channel(self, channel: Channel) -> None:
        """Close it: what it delivered and nobody acknowledged is queued again."""
        if channel.is_open:
            channel.close()
            self.wait_until(lambda: channel.is_closed or None, "channel_close")
        self._close_reasons.pop(channel, None)

    def check(self, channel: Channel) -> None:
        """Raise ChannelClosedByBroker or BrokerError where the channel cannot be used."""
        self._check()
        if (reason := self._close_reasons.get(channel)) is not None:
            raise reason

    def send(self, method: Any, *arguments: Any, **named: Any) -> None:
        """Call a method of a channel that has no answer; ``flush`` or ``pump`` sends it."""
        self.check(method.__self__)
        method(*arguments, **named)

    def call(self, method: Any, *arguments: Any, **named: Any) -> Any:
        """Call a method of a channel and return the broker's answer (a method of pika.spec).

        Raises ChannelClosedByBroker, BrokerError.
        """
        answers: list[Any] = []
        self.send(method, *arguments, callback=answers.append, **named)
        self._wait_for(answers, method.__self__, method.__name__)
        return answers[0].method

    def get(self, channel: Channel, queue: str) -> tuple[Any, BasicProperties, bytes] | None:
        """Take a message: its delivery, properties and body; None where the queue is empty."""
        self._got.clear()
        self.send(channel.basic_get, queue, self._on_get_ok)
        self._wait_for(self._got, channel, "basic_get")
        message: tuple[Any, BasicProperties, bytes] | None = self._got.pop()
        return message

    def _on_get_ok(self, _channel: Channel, *message: Any) -> None:
        self._got.append(message)

    def _on_get_empty(self, _frame: object) -> None:
        self._got.append(None)

    def _wait_for(self, answers: list[Any], channel: Channel, what: str) -> None:
        def answered() -> bool | None:
            if not answers:
                self.check(channel)
            return bool(answers) or None

        self.wait_until(answered, what)

    # --- what comes ---------------------------------------------------------------------

    def fail(self, error: BrokerError) -> BrokerError:
        """Give the connection up: every later call raises ``error``."""
        self._error = self._error or error
        self.news = True
        return self._error

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _on_wakeup(self, _handle: int, _events: int) -> None:
        self._wakeup.clear()
        self._woken = True

    def _on_channel_closed(self, channel: Channel, reason: Exception) -> None:
        if isinstance(reason, ChannelClosedByBroker):
            self._close_reasons[channel] = reason
            self.news = True

    def _on_blocked(self, _connection: object, frame: Any) -> None:
        self.blocked = str(frame.method.reason)

    def _on_unblocked(self, _connection: object, _frame: object) -> None:
        self.blocked = ""

    def _on_lost(self, _connection: object, error: BaseException) -> None:
        self.fail(self._translate(error))

    def _translate(self, error: BaseException) -> BrokerError:
        address = self.address
        if isinstance(error, AMQPHeartbeatTimeout):
            text = f"the connection is cut: nothing came for {address.heartbeat} s"
            return make_unreachable(address, text)
        if isinstance(error, ConnectionClosedByBroker):
            return errors.translate_close(address, error.reply_code, error.reply_text)
        if isinstance(error, AuthenticationError):
            return make_login_refused(address, f"it does not offer {error.args[0]}")
        if isinstance(error, ConnectionOpenAborted):
            return self._make_late_error("login")
        if isinstance(error, IncompatibleProtocolError) and self._pika.undecoded_bytes:
            hint = "" if address.tls else "; is that a TLS port? then use amqps://"
            text = f"it answers, but not as RabbitMQ (AMQP 0-9-1) does{hint}"
            return make_refused(address, text)
        if found := _CLOSED.search(str(error)):
            code, text = int(found[1]), found[2]
            if code == _ACCESS_REFUSED:
                return make_login_refused(address, text)
            return errors.translate_close(address, code, text)
        return self._translate_lost(error)

    def _translate_lost(self, error: BaseException) -> BrokerError:
        """Return our error for a lost socket; pika wraps its errors, or keeps only their texts."""
        address, cause = self.address, error
        in_tls = False
        while (inner := _get_cause(cause)) is not None:
            in_tls = in_tls or isinstance(cause, AMQPConnectorTransportSetupError)
            cause = inner
        if isinstance(cause, (AMQPConnectorStackTimeout, TimeoutError)):
            return self._make_late_error("login")
        if isinstance(cause, socket.gaierror):
            text = f"no address is known for {address.host!r}: {cause.strerror}"
            return make_unreachable(address, text)
        if isinstance(cause, OSError):
            if in_tls:
                return tls.translate_handshake_error(address, cause)
            return make_unreachable(address, cause.strerror or str(cause))
        hint = ""
        if isinstance(error, IncompatibleProtocolError) and not address.tls:
            hint = "; is that a TLS port? then use amqps://"
        if "EOF" in str(error):
            return make_unreachable(address, f"it closed the connection{hint}")
        if found := _OS_ERROR.search(str(error)):
            number, text = int(found[1]), found[2]
            if number == 110:
                return make_unreachable(
                    address, "the connection is cut: what we send does not arrive"
                )
            return make_unreachable(address, f"the connection is lost: {text}{hint}")
        # pika's own wrappers of what else went wrong say nothing by themselves
        text = " ".join((str(error) or repr(cause)).split())
        return make_unreachable(address, f"the connection is lost: {text}{hint}")

    # --- the end ------------------------------------------------------------------------

    def close(self) -> None:
        """Say good-bye, so that all we had is queued again at once; never raises."""
        if self._error is None and self._pika.is_open:
            deadline = time.monotonic() + min(_CLOSE_TIMEOUT, self.address.timeout)
            with contextlib.suppress(AMQPError, BrokerError):
                self._pika.close()
                # a broker that takes no messages does not read this either
                while time.monotonic() < deadline and not self.blocked:
                    self.pump(deadline - time.monotonic())
        self.fail(make_unreachable(self.address, "the connection was closed"))
        if not self._pika.is_closed:
            self._pika.abort()
            self._loop.process_timeouts()
        self._loop.close()


def _make_parameters(address: BrokerAddress) -> ConnectionParameters:
    """Return pika's parameters; raises BrokerRefused where the files for TLS are of no use."""
    options = None
    if address.tls is not None:
        context = tls.make_context(address, address.tls)
        options = PikaTls(context, address.tls.server_name or address.host)
    return ConnectionParameters(
        host=address.host,
        port=address.port,
        virtual_host=address.vhost,
        credentials=ExternalCredentials()
        if address.by_certificate
        else PlainCredentials(address.user, address.password),
        heartbeat=address.heartbeat,
        ssl_options=options,
        socket_timeout=min(CONNECT_TIMEOUT, address.timeout),
        stack_timeout=address.timeout,
        client_properties={"product": "thyme"},
        # what is sent into a cut connection: the kernel would try for 15 minutes
        tcp_options={"TCP_USER_TIMEOUT": address.heartbeat * 1000},
    )


def _get_cause(error: BaseException) -> BaseException | None:
    """Return the error that pika's connection workflow wrapped into ``error``."""
    if isinstance(error, AMQPConnectionWorkflowFailed):
        inner = error.exceptions[-1]  # of the last address
    elif isinstance(error, AMQPConnectorPhaseErrorBase):
        inner = error.exception
    else:
        inner = error.args[0] if isinstance(error, AMQPConnectionError) and error.args else None
    return inner if isinstance(inner, BaseException) else None


def _do_nothing() -> None:
    """Do nothing: the timer that calls this only bounds how long the event loop waits."""
