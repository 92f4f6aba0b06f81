"""The command ``thyme-worker``."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from .arguments import Parser, broker_url, number_of, number_of_seconds
from .errors import BadInvocation, ExitCode, ThymeError
from .processes import adopt_orphans
from .transport import connect
from .worker import Orders, Settings, Worker

#: Characters of a pool's name, as in a message.
MAX_POOL = 255

EPILOG = """\
The broker is named by --url, THYME_URL_FILE (a file that holds the URL) or THYME_URL, the
first that is set: sqlite:////path/to/broker.db is the embedded default of one machine.

exit codes:
  0      ran a job to its end, whatever the job's own exit code
  3      nothing to do within --timeout
  4      broker unreachable, or it refused us
  5      this node cannot run jobs (scratch not writable, ...)
  6      bad invocation
  128+n  ended by signal n; SIGTERM ends the job too: SIGTERM, its grace, SIGKILL;
         a second SIGTERM ends it at once
"""


def parser() -> argparse.ArgumentParser:
    made = Parser(
        prog="thyme-worker",
        description="Take one job from the queue, run it, report, end.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    option = made.add_argument
    option("--url", help="the broker")
    option("--queue", help="the pool to work for (THYME_QUEUE; alien_jobs)")
    option("--workdir", type=Path, help="scratch directories are made here (TMPDIR; /tmp)")
    option(
        "--timeout",
        type=number_of_seconds,
        default=120.0,
        help="end after so many idle seconds (120)",
    )
    option(
        "--max-backoff",
        type=number_of_seconds,
        default=16.0,
        help="longest pause in seconds between attempts to reach the broker (16)",
    )
    option(
        "--max-jobs",
        type=number_of("jobs", 0),
        default=1,
        help="end after so many jobs; 0: no limit (1)",
    )
    option(
        "--heartbeat", type=number_of_seconds, default=60.0, help="seconds between heartbeats (60)"
    )
    option("--verbose", action="store_true", help="log each step to stderr")
    return made


def _pool(name: str) -> str:
    if len(name) > MAX_POOL or not name.isprintable():
        raise BadInvocation(
            f"queue {name[:MAX_POOL]!r}: give at most {MAX_POOL} printable characters"
        )
    return name


def main(argv: Sequence[str] | None = None) -> int:
    """Run the worker; returns the exit code."""
    try:
        options = parser().parse_args(argv)
        logging.basicConfig(
            stream=sys.stderr,
            level=logging.INFO if options.verbose else logging.WARNING,
            format="thyme-worker: %(message)s",
        )
        settings = Settings(
            pool=_pool(options.queue or os.environ.get("THYME_QUEUE") or "alien_jobs"),
            workdir=options.workdir or Path(os.environ.get("TMPDIR") or "/tmp"),  # noqa: S108
            timeout=options.timeout,
            max_backoff=options.max_backoff,
            max_jobs=options.max_jobs,
            heartbeat=options.heartbeat,
        )
        url = broker_url(options.url, os.environ)
        orders = Orders()
        worker = Worker(settings, lambda: connect(url), orders)

        def leave(number: int, _frame: object) -> None:
            orders.signals.append(number)
            worker.link.wake()

        signal.signal(signal.SIGTERM, leave)
        signal.signal(signal.SIGINT, leave)
        adopt_orphans()
        return int(worker.run())
    except ThymeError as error:
        print(f"thyme-worker: {error}", file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def entry() -> NoReturn:
    sys.exit(main())


if __name__ == "__main__":
    entry()

__all__ = ["ExitCode", "broker_url", "main", "parser"]
