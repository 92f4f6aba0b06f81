"""Waits for the broker to drop the connection of a schedd that is dead.

Where the host was reset or its network cut, RabbitMQ keeps the connection, and with it the
schedd's inbox, until its heartbeats are missed. Whether a living schedd has the inbox, the broker
does not say; so whoever has it is asked.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Final

from thyme.broker import Mail, Transport
from thyme.errors import BadMessage, BrokerError, BrokerRefused, BrokerUnreachable, InboxTaken
from thyme.protocol import codec
from thyme.protocol.job import JobId, make_life
from thyme.protocol.mail import Claim, ClaimReply, make_schedd_inbox_name

log = logging.getLogger(__name__)

#: Seconds that a living schedd may take for its answer.
ANSWER_SECONDS: Final = 5.0


class FormerConnection:
    """How long the schedd's inbox has belonged to another connection that does not answer."""

    def __init__(self, schedd: str, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        """``schedd``: its name; ``clock``: monotonic, ``wall``: epoch seconds."""
        self._schedd = schedd
        self._clock = clock
        self._wall = wall
        #: when it was first met, by both clocks; None: not met, or gone
        self._since: tuple[float, float] | None = None

    def open_inbox(
        self, transport: Transport, pools: tuple[str, ...], is_stopping: Callable[[], bool]
    ) -> None:
        """Open the schedd's inbox; ``pools``: what is announced to them is received, too.

        ``is_stopping``: whether nobody waits for it any more, after ``transport`` was woken.
        Raises BrokerUnreachable while the broker may still drop the connection that has it, and
        BrokerRefused if a living schedd has it or the broker has not dropped it in time.
        """
        try:
            transport.open_inbox(make_schedd_inbox_name(self._schedd), pools)
        except InboxTaken as error:
            raise self._explain(error, transport, is_stopping) from error
        self._since = None

    def _explain(
        self, error: InboxTaken, transport: Transport, is_stopping: Callable[[], bool]
    ) -> BrokerError:
        if not error.seconds:
            return error
        if self._is_answered(transport, is_stopping):
            return BrokerRefused(f"{error}: a schedd of this name is running")
        self._since = self._since or (self._clock(), self._wall())
        if self._clock() - self._since[0] >= error.seconds:
            text = f"nobody answers there, and the broker has kept it for {error.seconds:g} s"
            return BrokerRefused(f"{error}: {text}")
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self._since[1]))
        return BrokerUnreachable(
            f"{error}, and nobody answers there: waiting since {since} for the broker to drop it, "
            f"at most {error.seconds:g} s"
        )

    def _is_answered(self, transport: Transport, is_stopping: Callable[[], bool]) -> bool:
        """Claim a job that cannot be, as a worker does; return whether there is an answer."""
        host, token = os.uname().nodename, os.urandom(8).hex()
        inbox = f"thyme.worker.{host[:100]}.{token}"
        transport.open_inbox(inbox)
        claim = Claim(self._schedd, JobId(0, 0), 0, inbox, host[:100], life=make_life())
        transport.request(
            make_schedd_inbox_name(self._schedd), Mail(codec.encode(claim), inbox, token)
        )
        deadline = self._clock() + ANSWER_SECONDS
        while (left := deadline - self._clock()) > 0 and not is_stopping():
            while (mail := transport.receive()) is not None:
                if mail.correlation == token:
                    return _is_reply(mail)
            transport.wait(left)
        return False


def _is_reply(mail: Mail) -> bool:
    """Return whether it is a schedd's; else it is the claim, returned: the inbox is gone."""
    try:
        return isinstance(codec.decode(mail.body, with_files=False), ClaimReply)
    except BadMessage as error:
        log.warning("the answer of the schedd of the same name is not understood: %s", error)
        return True
