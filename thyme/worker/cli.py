"""The command ``thyme-worker``."""

from __future__ import annotations

import argparse
import logging
import math
import os
import re
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from commandline.parser import add_version, describe_missing_library
from thyme import privileges
from thyme.arguments import (
    Parser,
    hide_broker_urls,
    make_count_type,
    parse_seconds,
    read_broker_url,
)
from thyme.broker import connect, make_amqp_url
from thyme.broker.lanes import check_pool, read_bounds
from thyme.errors import BadInvocation, ExitCode, ThymeError

from . import processes
from .shutdown import Shutdown
from .users import choose_job_user
from .worker import Worker, WorkerSettings

log = logging.getLogger(__name__)

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)

EPILOG = """\
The broker is named by --url, --rabbitmq, THYME_URL_FILE (a file that holds the URL), THYME_URL
or THYME_RABBITMQ, the first that is set: amqps://USER:PASSWORD@HOST/VHOST (never as an option:
everybody could read the password), or sqlite:////path/to/broker.db, of one machine.

Jobs of a worker that is root run as a user of their own, without any capability.

exit codes:
  0      ran a job to its end, whatever the job's own exit code
  3      nothing to do within --timeout
  4      broker unreachable, or it refused us
  5      this node cannot run jobs (scratch not writable, ...)
  6      bad invocation
  128+n  ended by signal n; SIGTERM ends the job too: SIGTERM, its grace, SIGKILL;
         a second SIGTERM ends it at once
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = Parser(
        prog="thyme-worker",
        description="Take one job from the queue, run it, report, end.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    option = made.add_argument
    option("--url", help="the broker, without a password")
    option("--rabbitmq", metavar="HOST[:PORT]", help="the broker, as in 2017 (THYME_RABBITMQ)")
    option("--queue", "-q", help="the pool to work for (THYME_QUEUE; alien_jobs)")
    option(
        "--lanes",
        metavar="TIMES",
        help="longest times of the pool's lanes, as 10m,1h (THYME_LANES; none: no lanes)",
    )
    option(
        "--lane-fallback",
        type=parse_seconds,
        metavar="SECONDS",
        help="after so many idle seconds, take a job that does not fit into the pilot's expected "
        "life, too (THYME_LANE_FALLBACK; never)",
    )
    option("--workdir", "-w", type=Path, help="scratch directories are made here (TMPDIR; /tmp)")
    option(
        "--user",
        metavar="USER[:GROUP]",
        help="who jobs run as: a name, a number, or self, the worker's own user (THYME_JOB_USER; "
        "where the worker is root: a number from 60600 on that no other worker here uses; else "
        "self)",
    )
    option(
        "--timeout",
        "-t",
        type=parse_seconds,
        default=120.0,
        help="end after so many idle seconds (120)",
    )
    option(
        "--max-backoff",
        "-m",
        type=parse_seconds,
        default=16.0,
        help="longest pause in seconds between attempts to reach the broker (16)",
    )
    option(
        "--max-jobs",
        type=make_count_type("jobs", 0),
        default=1,
        help="end after so many jobs; 0: no limit (1)",
    )
    option("--heartbeat", type=parse_seconds, default=60.0, help="seconds between heartbeats (60)")
    option(
        "--job-environment",
        metavar="VARIABLES",
        help="what every job finds in its environment unless it sets it: NAME=VALUE, with blanks "
        "between several and quotes around values with blanks (THYME_JOB_ENVIRONMENT)",
    )
    option("--verbose", action="store_true", help="log each step to stderr")
    add_version(made)
    return made


def _read_fallback(option: float | None, env: Mapping[str, str]) -> float:
    text = env.get("THYME_LANE_FALLBACK")
    if option is not None or not text:
        return math.inf if option is None else option
    try:
        return parse_seconds(text)
    except ValueError:
        raise BadInvocation(f"THYME_LANE_FALLBACK: {text[:40]!r} is no number of seconds") from None


#: Most have it in the pilot's environment.
_JOB_ENVIRONMENT = "--job-environment or THYME_JOB_ENVIRONMENT"


def parse_job_environment(text: str) -> dict[str, str]:
    """Parse ``A=1 B='two words'``; raises BadInvocation, without a value that may be secret."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BadInvocation(f"{_JOB_ENVIRONMENT}: {error}") from error
    found = {}
    for number, word in enumerate(words, 1):
        name, equals, value = word.partition("=")
        if not equals or not _VARIABLE.fullmatch(name):
            raise BadInvocation(f"{_JOB_ENVIRONMENT}: word {number} is not NAME=VALUE")
        if name.startswith("_CONDOR_"):
            raise BadInvocation(f"{_JOB_ENVIRONMENT}: {name} is set by the worker itself")
        found[name] = value
    return found


def _warn_of_open_secrets(user: str, url: str, env: Mapping[str, str]) -> None:
    """Warn once where a job could read the broker's password."""
    file = env.get("THYME_URL_FILE")
    if not file or "@" not in url or not choose_job_user(user, 0, os.geteuid()).is_self:
        return
    if Path(file).is_file():
        log.warning(
            "jobs run as this worker's own user and can read the broker's password in %s; let the "
            "worker be root, or hand it the URL through a pipe (THYME_URL_FILE=/dev/fd/3)",
            file,
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the worker; returns the exit code."""
    shutdown = Shutdown()
    working: list[Worker] = []

    def wake(_number: int, _frame: object) -> None:
        for worker in working:
            worker.connection.wake()

    def leave(number: int, frame: object) -> None:
        shutdown.signals.append(number)
        wake(number, frame)

    # first of all: the kernel keeps from a container's first process what it does not handle
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGCHLD, wake)
    try:
        options = make_parser().parse_args(argv)
        logging.basicConfig(
            stream=sys.stderr,
            level=logging.INFO if options.verbose else logging.WARNING,
            format="%(asctime)s thyme-worker: %(message)s",
        )
        env = dict(os.environ)
        settings = WorkerSettings(
            pool=check_pool(options.queue or env.get("THYME_QUEUE") or "alien_jobs"),
            lanes=read_bounds(options.lanes, env),
            lane_fallback=_read_fallback(options.lane_fallback, env),
            workdir=options.workdir or Path(env.get("TMPDIR") or "/tmp"),  # noqa: S108
            timeout=options.timeout,
            max_backoff=options.max_backoff,
            max_jobs=options.max_jobs,
            heartbeat=options.heartbeat,
            user=options.user or env.get("THYME_JOB_USER") or "",
            job_environment=parse_job_environment(
                options.job_environment or env.get("THYME_JOB_ENVIRONMENT") or ""
            ),
        )
        if options.rabbitmq and not options.url:
            options.url = make_amqp_url(options.rabbitmq)
        url = read_broker_url(options.url, env)
        hide_broker_urls()
        if "@" in url:
            # only then: Plancton tells its pilots by their environment where containers do not
            privileges.make_undumpable()
        _warn_of_open_secrets(settings.user, url, env)
        working.append(Worker(settings, lambda: connect(url), shutdown))
        privileges.become_subreaper()
        privileges.drop_inheritable_rights()
        processes.reset_signal_handling()
        processes.set_limits_of_jobs()
        return int(working[0].run())
    except ModuleNotFoundError as error:
        print(f"thyme-worker: {describe_missing_library(error, 'worker')}", file=sys.stderr)
        return ExitCode.NODE_UNFIT
    except ThymeError as error:
        print(f"thyme-worker: {error}", file=sys.stderr)
        return int(error.exit_code)


def entry() -> NoReturn:
    """Run the worker as a program."""
    sys.exit(main())


if __name__ == "__main__":
    entry()
