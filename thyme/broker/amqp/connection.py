"""One connection to RabbitMQ: the handshake, channels, questions with their answers, heartbeats.

Nothing happens behind the caller's back: bytes move only inside ``pump``, which every question
calls, in the caller's thread. What the broker sends unasked (deliveries, confirms, returned
messages) goes to the callbacks of the channel that it comes on.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from thyme.errors import BrokerError, BrokerUnreachable

from . import errors
from .channel import Channel
from .errors import ChannelClosed, login_refused, refused, unreachable
from .frames import GREETING, HEARTBEAT, BadFrame, Content, Decoder, Method, encode_method, spec
from .socket import ByteLine
from .url import Place

#: Bytes of a frame until something else is agreed on.
_FIRST_FRAME_MAX: Final = 131072
#: Seconds that the broker may take to answer our leaving.
_CLOSE_TIMEOUT: Final = 5.0
#: Bytes that are progress, where nothing better is known.
_HEAP: Final = 64 * 1024
#: Timeouts after which even heaps of bytes are none.
_PATIENCE: Final = 10
#: Reads in one pump: whoever pumps has something else to do as well.
_READS: Final = 8
#: What we can do; without the first, a wrong password is only a closed connection.
_CAPABILITIES: Final = {
    "authentication_failure_close": True,
    "basic.nack": True,
    "connection.blocked": True,
    "consumer_cancel_notify": True,
    "publisher_confirms": True,
}


class Line:
    def __init__(self, place: Place, program: str) -> None:
        """Connect and log in as ``program``; raises BrokerError."""
        self.place = place
        #: why the broker takes no messages now; "" when it does
        self.blocked = ""
        #: whether something came since this was last set to False
        self.news = False
        self.frame_max = _FIRST_FRAME_MAX
        self._channels: dict[int, Channel] = {}
        self._failed: BrokerError | None = None
        self._said: deque[Any] = deque()
        self._decoder = Decoder(_FIRST_FRAME_MAX)
        self._heartbeat = 0.0
        self._received = self._sent = 0
        self._last_read = self._last_write = time.monotonic()
        self._bytes = ByteLine(place)
        try:
            self._log_in(program)
        except BaseException:
            self._bytes.close()
            raise

    def __str__(self) -> str:
        return str(self.place)

    # --- the handshake ----------------------------------------------------------------

    def _log_in(self, program: str) -> None:
        self._put(GREETING)
        try:
            start = self.until(self._heard, "greeting")
        except BrokerUnreachable as error:
            if self.place.tls or error.__cause__ is None:
                raise
            hint = "is that a TLS port? then use amqps://"
            raise self.fail(BrokerUnreachable(f"{error}; {hint}")) from error.__cause__
        mechanism = "EXTERNAL" if self.place.by_certificate else "PLAIN"
        if mechanism.encode() not in bytes(_as_bytes(start.mechanisms)).split():
            raise login_refused(self.place, f"it offers {start.mechanisms!r}")
        secret = f"\0{self.place.user}\0{self.place.password}".encode()
        properties = {"product": program, "capabilities": _CAPABILITIES}
        response = b"" if self.place.by_certificate else secret
        self.send(0, spec.Connection.StartOk(properties, mechanism, response, "en_US"))
        tune = self.until(self._heard, "login")
        self.frame_max = min(tune.frame_max or _FIRST_FRAME_MAX, _FIRST_FRAME_MAX)
        self.send(0, spec.Connection.TuneOk(tune.channel_max, self.frame_max, self.place.heartbeat))
        self._decoder.frame_max = self.frame_max
        self.send(0, spec.Connection.Open(self.place.vhost))
        self.until(self._heard, "opening the vhost")
        self._heartbeat = float(self.place.heartbeat)

    def _heard(self) -> Any:
        return self._said.popleft() if self._said else None

    # --- channels -----------------------------------------------------------------------

    def channel(self) -> Channel:
        number = next(n for n in range(1, 1000) if n not in self._channels)
        channel = self._channels[number] = Channel(self, number)
        channel.ask(spec.Channel.Open())
        return channel

    def forget(self, channel: Channel) -> None:
        self._channels.pop(channel.number, None)

    # --- bytes --------------------------------------------------------------------------

    def send(self, channel: int, method: Any) -> None:
        self._put(encode_method(channel, method))

    def _put(self, data: bytes) -> None:
        if self._failed is not None:
            raise self._failed
        self._bytes.write(data)
        self._sent += len(data)

    def put(self, data: bytes) -> None:
        """Frames of a message; they leave with the next pump."""
        self._put(data)

    @property
    def waiting(self) -> int:
        """Bytes that were not sent yet."""
        return self._bytes.waiting

    def until(
        self, answer: Callable[[], Any], what: str, progress: Callable[[], object] | None = None
    ) -> Any:
        """The first thing but None that ``answer`` gives, while bytes come and go.

        Raises BrokerUnreachable when ``progress`` gave the same for the place's timeout. Without
        it, any heap of bytes is progress (the answer may be behind much else), but not for ever:
        heartbeats and others' mail come on a line whose question is never answered, too.
        """
        timeout = self.place.timeout
        began = moved = time.monotonic()
        seen = self._heap() if progress is None else progress()
        late = False
        while (found := answer()) is None:
            if late:
                raise self.fail(self._late(what))
            self.pump(min(1.0, max(0.0, moved + timeout - time.monotonic())))
            now, now_seen = time.monotonic(), self._heap() if progress is None else progress()
            endless = progress is None and now - began > _PATIENCE * timeout
            if now_seen != seen and not self.blocked and not endless:
                seen, moved = now_seen, now
            late = now >= moved + timeout
        return found

    def _heap(self) -> int:
        return (self._received + self._sent) // _HEAP

    def _late(self, what: str) -> BrokerError:
        if self.blocked:
            return unreachable(
                self.place, f"it takes no messages now ({self.blocked}); it needs an admin"
            )
        return unreachable(self.place, f"no answer within {self.place.timeout:g} s ({what})")

    def pump(self, timeout: float, wakeup: int = -1) -> bool:
        """Send and receive; wait at most ``timeout`` seconds for the first byte.

        True when ``wakeup`` (a file number) became readable. Raises BrokerError.
        """
        if self._failed is not None:
            raise self._failed
        try:
            self._bytes.flush()
            if timeout > 0 or self._bytes.waiting or wakeup >= 0:
                woken = self._bytes.wait(min(timeout, self._until_heartbeat()), wakeup)
                self._bytes.flush()
            else:
                woken = False
            for _ in range(_READS):
                data = self._bytes.read()
                if data is None:
                    break
                self._last_read = time.monotonic()
                self._received += len(data)
                for event in self._decoder.feed(data):
                    self._take(event)
                if self._bytes.has_no_more(data):
                    break
            self._keep_alive()
        except BadFrame as error:
            text = "it answers, but not as RabbitMQ (AMQP 0-9-1) does"
            if not self._heartbeat:
                text += "; is that a TLS port? then use amqps://"
            raise self.fail(refused(self.place, f"{text} ({error})")) from error
        except BrokerError as error:
            raise self.fail(error) from error.__cause__
        return woken

    def fail(self, error: BrokerError) -> BrokerError:
        """From now on the line is of no use, for this reason."""
        self._failed = error
        return error

    # --- what comes -----------------------------------------------------------------------

    def _take(self, event: Method | Content) -> None:
        if event.channel == 0:
            self._of_connection(event.method)
            return
        channel = self._channels.get(event.channel)
        if channel is None:
            return  # of a channel that was closed meanwhile
        if isinstance(event, Content):
            if isinstance(event.method, spec.Basic.GetOk):
                channel.answers.append(event)
            else:
                self.news = True
                channel.contents(event)
            return
        method = event.method
        if isinstance(method, spec.Channel.Close):
            self.send(channel.number, spec.Channel.CloseOk())
            channel.ended = ChannelClosed(method.reply_code, str(method.reply_text))
            self.news = self.news or channel.listening
            self.forget(channel)
        elif isinstance(method, (spec.Basic.Ack, spec.Basic.Nack, spec.Basic.Cancel)):
            channel.methods(method)
        else:
            channel.answers.append(method)

    def _of_connection(self, method: Any) -> None:
        if isinstance(method, spec.Connection.Close):
            with contextlib.suppress(BrokerError):
                self.send(0, spec.Connection.CloseOk())
                self._bytes.flush()
            raise self._reason(method.reply_code, str(method.reply_text))
        if isinstance(method, spec.Connection.Blocked):
            self.blocked = str(method.reason)
        elif isinstance(method, spec.Connection.Unblocked):
            self.blocked = ""
        else:
            self._said.append(method)

    def _reason(self, code: int, text: str) -> BrokerError:
        if code == 403 and not self._heartbeat:
            return login_refused(self.place, text)
        return errors.closed(self.place, code, text)

    # --- time -------------------------------------------------------------------------------

    def _until_heartbeat(self) -> float:
        if not self._heartbeat:
            return self.place.timeout
        return max(0.0, self._last_write + self._heartbeat / 2 - time.monotonic())

    def _keep_alive(self) -> None:
        if not self._heartbeat:
            return
        now = time.monotonic()
        if now - self._last_write >= self._heartbeat / 2:
            self._last_write = now
            if not self._bytes.waiting:  # else the line is full: that speaks for itself
                self._bytes.write(HEARTBEAT)
                self._bytes.flush()
        # read first, judged afterwards: a process that was stopped has all in its socket yet
        if now - self._last_read > self._heartbeat * 1.25:
            raise unreachable(
                self.place, f"the connection is cut: nothing came for {now - self._last_read:.0f} s"
            )

    def close(self) -> None:
        """Say good-bye, so that all we had goes back at once; never raises."""
        if self._failed is None:
            deadline = time.monotonic() + min(_CLOSE_TIMEOUT, self.place.timeout)
            for channel in self._channels.values():
                channel.contents, channel.methods = lambda _content: None, lambda _method: None
            self._said.clear()
            with contextlib.suppress(BrokerError):
                self.send(0, spec.Connection.Close(200, "good-bye", 0, 0))
                while not self._said and time.monotonic() < deadline and not self.blocked:
                    self.pump(deadline - time.monotonic())
            self._failed = unreachable(self.place, "the connection was closed")
        self._bytes.close()


def _as_bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
