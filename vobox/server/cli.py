"""The command ``thyme-schedd``."""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from commandline.parser import add_version, describe_missing_library, describe_no_thread
from thyme.arguments import Parser, make_count_type, parse_seconds
from thyme.errors import ExitCode, ThymeError
from vobox.client.client import DEFAULT_SOCKET

EPILOG = """\
The broker is named by --url (without a password), THYME_URL_FILE (a file that holds the URL),
THYME_URL, or THYME_RABBITMQ (host[:port]). One that cannot be reached is waited for.
The spool is a cache: wiped, it is made again from the broker's stream; jobs do not notice.

exit codes:
  0  ended by SIGTERM or SIGINT
  4  the broker refused us (wrong password, no permission, another schedd has our name, ...)
  5  spool or socket cannot be used (another schedd has it, not writable, ...), or no thread started
  6  bad invocation
"""

#: The attributes in which users of batch systems say how long a job may run, in seconds: those of
#: HTCondor; CERN's; HTCondor-CE's; ARC's.
DEFAULT_LANE_ATTRIBUTES = (
    "AllowedExecuteDuration,AllowedJobDuration,MaxRuntime,MaxWallTimeMins*60,BatchRuntime,"
    "JobTimeLimit"
)


def parser() -> argparse.ArgumentParser:
    """Return the parser of thyme-schedd's command line."""
    made = Parser(
        prog="thyme-schedd",
        description="Answer the condor commands: queue jobs, follow them, write their output.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    option = made.add_argument
    option("--url", help="the broker")
    option("--spool", type=Path, required=True, help="directory for the ledger")
    option(
        "--socket",
        type=Path,
        default=Path(os.environ.get("THYME_SCHEDD_SOCKET") or DEFAULT_SOCKET),
        help=f"where it answers (THYME_SCHEDD_SOCKET; {DEFAULT_SOCKET})",
    )
    option("--name", type=_name, default=os.uname().nodename, help="the schedd's name (the host's)")
    option("--pool", help="the pool that jobs are submitted to (THYME_QUEUE; alien_jobs)")
    option(
        "--lease",
        type=_positive,
        default=300.0,
        help="seconds that a running job is believed without news, unless it says so (300)",
    )
    option(
        "--policy-interval",
        type=_positive,
        default=60.0,
        help="seconds between looks at periodic_hold, periodic_release, periodic_remove (60)",
    )
    option(
        "--max-attempts",
        type=make_count_type("attempts", 1),
        default=5,
        help="hold a job whose worker was lost so many times (5)",
    )
    option(
        "--max-jobs-per-owner",
        type=make_count_type("jobs", 1),
        default=2_000_000,
        metavar="N",
        help="refuse a submit after which its owner would have more jobs in the queue "
        "(MAX_JOBS_PER_OWNER; 2000000)",
    )
    option(
        "--max-jobs-per-submission",
        type=make_count_type("jobs", 1),
        default=20_000,
        metavar="N",
        help="refuse a submit of more jobs (MAX_JOBS_PER_SUBMISSION; 20000)",
    )
    option(
        "--max-bytes-per-owner",
        type=make_count_type("bytes", 1),
        default=10_000_000_000,
        metavar="N",
        help="refuse a submit after which the messages of its owner's jobs in the queue would have "
        "more bytes (10 GB)",
    )
    option(
        "--lanes",
        metavar="TIMES",
        help="let jobs that say how long they are wait in lanes of these longest times, as "
        "10m,1h,12h (THYME_LANES; none: no lanes)",
    )
    option(
        "--lane-attributes",
        default=DEFAULT_LANE_ATTRIBUTES,
        metavar="NAMES",
        help="attributes of a job that say so, each with the seconds of its unit "
        f"({DEFAULT_LANE_ATTRIBUTES})",
    )
    option(
        "--lane-undeclared",
        type=_positive,
        metavar="SECONDS",
        help="what a job that does not say so is taken for (it waits in the pool's own queue)",
    )
    option(
        "--lane-patience",
        type=_positive,
        default=21600.0,
        metavar="SECONDS",
        help="if workers take nothing from a lane for so long, let its first job start before all "
        "others (21600)",
    )
    option("--site", type=_site, default="", help="name of the site, a tag of the series")
    option(
        "--influxdb-url",
        action="append",
        default=[],
        metavar="URL",
        help="send metrics there: http[s]://USER@HOST:PORT/?password_file=PATH#DATABASE (may be "
        "given several times; or THYME_INFLUXDB_URL, with blanks between several)",
    )
    option(
        "--metrics-interval",
        type=_positive,
        default=30.0,
        help="seconds between two points, at most 60 for the dashboards (30)",
    )
    option("--prometheus", default="", metavar="ADDRESS:PORT", help="show them at /metrics there")
    option(
        "--history-dir",
        type=Path,
        help="write a file history.C.P there for each job that ends, for good "
        "(PER_JOB_HISTORY_DIR; SOCKET.history, for the newest jobs alone)",
    )
    option(
        "--no-root",
        action="store_true",
        help="read and write no files for root, who may be another container's",
    )
    option("--verbose", action="store_true", help="log each step")
    add_version(made)
    return made


def _positive(text: str) -> float:
    seconds = parse_seconds(text)
    if seconds == 0:
        raise ValueError
    return seconds


def _name(text: str) -> str:
    if not 0 < len(text) < 200 or not text.isprintable() or " " in text or "#" in text:
        raise ValueError
    return text


def _site(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{0,64}", text):  # as a node's
        raise ValueError
    return text


_site.__name__ = "site (at most 64 letters, digits, . _ -)"
_positive.__name__ = "number of seconds"
_name.__name__ = "name (no blanks, no #)"


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    try:
        options = parser().parse_args(argv)
        logging.basicConfig(
            stream=sys.stderr,
            level=logging.INFO if options.verbose else logging.WARNING,
            format="%(asctime)s thyme-schedd: %(message)s",
        )
        from .serve import serve  # late: --help works without the libraries of the extra

        return serve(options)
    except ModuleNotFoundError as error:
        print(f"thyme-schedd: {describe_missing_library(error, 'vobox')}", file=sys.stderr)
        return ExitCode.NODE_UNFIT
    except ThymeError as error:
        print(f"thyme-schedd: {error}", file=sys.stderr)
        return int(error.exit_code)
    except RuntimeError as error:
        if not (why := describe_no_thread(error)):
            raise
        print(f"thyme-schedd: {why}", file=sys.stderr)
        return ExitCode.NODE_UNFIT


if __name__ == "__main__":
    sys.exit(main())
