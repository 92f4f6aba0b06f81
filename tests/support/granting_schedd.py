"""A schedd that grants each attempt once, on a real broker: for tests of the worker alone."""

from __future__ import annotations

import threading
from collections.abc import Callable

from thyme.broker import Mail, Transport
from thyme.errors import BrokerUnreachable
from thyme.protocol import codec
from thyme.protocol.events import Started
from thyme.protocol.mail import Claim, ClaimReply, make_schedd_inbox_name


class GrantingSchedd:
    """Answers in a thread of its own until ``close``; records each start once."""

    def __init__(self, connect: Callable[[], Transport], name: str = "vobox") -> None:
        self._connect = connect
        self._name = name
        self._ready = threading.Event()
        #: attempt → the worker that may run it
        self._granted: dict[tuple[object, int], str] = {}
        self._stop = False
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        assert self._ready.wait(60.0)

    def _serve(self) -> None:
        while not self._stop:
            self._transport = self._connect()  # a transport belongs to one thread
            try:
                self._transport.open_inbox(make_schedd_inbox_name(self._name))
                self._ready.set()
                while not self._stop:
                    while (mail := self._transport.receive()) is not None:
                        message = codec.decode(mail.body)
                        if isinstance(message, Claim):
                            self._grant(message, mail)
                    self._transport.wait(1.0)
            except BrokerUnreachable:
                pass  # a test broke every connection
            finally:
                self._transport.close()

    def _grant(self, claim: Claim, mail: Mail) -> None:
        attempt = (claim.job, claim.attempt)
        if attempt not in self._granted:
            self._granted[attempt] = claim.worker
            started = Started(self._name, claim.job, 1.0, claim.attempt, claim.worker, claim.host)
            self._transport.record([codec.encode(started)])
        reason = "" if self._granted[attempt] == claim.worker else "JobStatus is 2"
        reply = ClaimReply(self._name, *attempt, not reason, reason)
        self._transport.send(mail.reply_to, Mail(codec.encode(reply), "", mail.correlation))

    def close(self) -> None:
        self._stop = True
        self._transport.wake()
        self._thread.join()
