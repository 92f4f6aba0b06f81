"""``thyme-worker`` that kills itself with SIGKILL at a given step.

``python -m tests.support.dying_worker MOMENT METHOD N WORKER-OPTIONS...``: MOMENT is ``before``
or ``after``, METHOD a method of Transport, N the how-manieth call of it (a ``take`` that finds
nothing, and mail other than a claim, do not count).
"""

import os
import signal
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

from thyme.broker import Delivery, Mail
from thyme.broker.sqlite.transport import SqliteTransport
from thyme.worker import cli


def main() -> int:
    moment, method, number, *options = sys.argv[1:]
    left = int(number)

    class Dying(SqliteTransport):
        def take(self, pool: str, listen: bool = True) -> Delivery | None:
            if self.count_ready(pool) == 0:
                return super().take(pool, listen)
            self._step("before", "take")
            delivery = super().take(pool, listen)
            self._step("after", "take")
            return delivery

        def send(self, to: str, mail: Mail) -> bool:
            self._step("before", "send")
            sent = super().send(to, mail)
            self._step("after", "send")
            return sent

        def record(self, bodies: Sequence[bytes]) -> None:
            self._step("before", "record")
            super().record(bodies)
            self._step("after", "record")

        def ack(self, delivery: Delivery) -> None:
            self._step("before", "ack")
            super().ack(delivery)
            self._step("after", "ack")

        def _step(self, when: str, what: str) -> None:
            nonlocal left
            if (when, what) == (moment, method):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

    cli.connect = lambda url: Dying(urlsplit(url).path)  # type: ignore[attr-defined]
    return cli.main(options)


if __name__ == "__main__":
    sys.exit(main())
