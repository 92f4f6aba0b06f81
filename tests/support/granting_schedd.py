"""A schedd that grants each attempt once, on a real broker: for tests of the worker alone.

It is a process of its own: one process has one connection to the embedded broker's file.
"""

import os
import subprocess
import sys
from pathlib import Path

import thyme.broker.sqlite.transport  # noqa: F401  # before it is another user
from thyme.broker import Mail, Transport, connect
from thyme.errors import BrokerUnreachable
from thyme.protocol import codec
from thyme.protocol.events import Started
from thyme.protocol.mail import Claim, ClaimReply, make_schedd_inbox_name

ROOT = Path(__file__).parents[2]
NAME = "vobox"
#: Attempt → the worker that may run it.
Granted = dict[tuple[object, int], str]


class GrantingSchedd:
    """Answers until ``close``."""

    def __init__(self, url: str, user: int | None = None) -> None:
        """``user``: whom the process belongs to, if it is root that starts it."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.granting_schedd", str(user or "")],
            env={**os.environ, "THYME_URL": url}, cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def serve(transport: Transport, granted: Granted) -> None:
    transport.open_inbox(make_schedd_inbox_name(NAME))
    print("ready", flush=True)
    while True:
        while (mail := transport.receive()) is not None:
            message = codec.decode(mail.body)
            if isinstance(message, Claim):
                answer(transport, message, mail, granted)
        transport.wait(1.0)


def answer(transport: Transport, claim: Claim, mail: Mail, granted: Granted) -> None:
    attempt = (claim.job, claim.attempt)
    if attempt not in granted:
        granted[attempt] = claim.worker
        told = (claim.job, 1.0, claim.attempt, claim.worker, claim.host)
        started = Started(NAME, *told, life=claim.life)
        transport.record([codec.encode(started)])
    reason = "" if granted[attempt] == claim.worker else "JobStatus is 2"
    about = (NAME, claim.job, claim.attempt)
    reply = ClaimReply(*about, not reason, reason, life=claim.life)
    transport.send(mail.reply_to, Mail(codec.encode(reply), "", mail.correlation))


def main() -> None:
    if sys.argv[1]:
        os.setgroups([])
        os.setgid(int(sys.argv[1]))
        os.setuid(int(sys.argv[1]))
    granted: Granted = {}
    while True:
        transport = connect(os.environ["THYME_URL"])
        try:
            serve(transport, granted)
        except BrokerUnreachable:
            transport.close()  # a test broke every connection


if __name__ == "__main__":
    main()
