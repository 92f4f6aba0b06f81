"""The command ``thyme-schedd``."""

from __future__ import annotations

import argparse
import fcntl
import gc
import logging
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

# the ClassAd library looks for HTCondor's configuration; there is none here
os.environ.setdefault("CONDOR_CONFIG", "/dev/null")

from hostfiles.private_directory import check_shared_directory, make_private_directory
from thyme.arguments import Parser, add_version, make_count_type, parse_seconds, read_broker_url
from thyme.broker import connect
from thyme.errors import ExitCode, ThymeError
from vobox.client.client import DEFAULT_SOCKET
from vobox.ledger.writer import Ledger
from vobox.rpc.server import Server
from vobox.schedd.main_loop import Schedd
from vobox.schedd.state import Settings

from . import metrics_setup
from .router import Router, wants_stdin

EPILOG = """\
The broker is named by --url (without a password), THYME_URL_FILE (a file that holds the URL),
THYME_URL, or THYME_RABBITMQ (host[:port]). One that cannot be reached is waited for.
The spool is a cache: wiped, it is made again from the broker's stream; jobs do not notice.

exit codes:
  0  ended by SIGTERM or SIGINT
  4  the broker refused us (wrong password, no permission, another schedd has our name, ...)
  5  spool or socket cannot be used (another schedd has it, not writable, ...)
  6  bad invocation
"""


#: Seconds that commands under way get for their answers at the end.
ANSWER_TIMEOUT = 2.0
#: Seconds after SIGTERM for which a broker or a disk that does not answer can keep us.
END_TIMEOUT = 5.0


class CannotServe(ThymeError):
    """The schedd cannot run here, e.g. another one has the spool."""

    exit_code = ExitCode.NODE_UNFIT


#: Bytes of each thread's stack: the ClassAd library recurses over the longest expression that is
#: allowed in 8 MiB, and threads would have 2 MiB under ``ulimit -s unlimited``.
THREAD_STACK = 16 * 1024 * 1024


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
    option("--socket", type=Path, default=Path(DEFAULT_SOCKET), help=f"({DEFAULT_SOCKET})")
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
    option("--site", default="", help="name of the site, a tag of the series")
    option(
        "--influxdb-url",
        action="append",
        default=[],
        metavar="URL",
        help="send metrics there: http[s]://USER@HOST:PORT/?password_file=PATH#DATABASE (may be "
        "given several times; or THYME_INFLUXDB_URL, with blanks between several)",
    )
    option(
        "--metrics-interval", type=_positive, default=30.0, help="seconds between two points (30)"
    )
    option("--prometheus", default="", metavar="ADDRESS:PORT", help="show them at /metrics there")
    option(
        "--history-dir",
        type=Path,
        help="write a file history.C.P there for each job that ends (PER_JOB_HISTORY_DIR)",
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
    if parse_seconds(text) == 0:
        raise ValueError
    return float(text)


def _name(text: str) -> str:
    if not 0 < len(text) < 200 or not text.isprintable() or " " in text or "#" in text:
        raise ValueError
    return text


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
        return _serve(options)
    except ThymeError as error:
        print(f"thyme-schedd: {error}", file=sys.stderr)
        return int(error.exit_code)


def _serve(options: argparse.Namespace) -> int:
    url = read_broker_url(options.url, os.environ)
    threading.stack_size(THREAD_STACK)
    if os.geteuid() == 0:
        # acting for other users must not bring root's groups along
        os.setgroups([])
    # all that was made until now stays; what is made from now on is looked through for cycles once
    # in 50,000 new objects (700 by default): a sixth of what an event of a job costs
    gc.freeze()
    gc.set_threshold(50_000)
    lock = _lock_spool(options.spool)
    try:
        ledger = Ledger(options.spool / "ledger.db")
    except (sqlite3.Error, OSError) as error:
        raise CannotServe(f"spool {options.spool}: {error}") from error
    settings = Settings(
        name=options.name,
        pool=options.pool or os.environ.get("THYME_QUEUE") or "alien_jobs",
        lease=options.lease,
        policy_interval=options.policy_interval,
        max_attempts=options.max_attempts,
        history_dir=_history_dir(options.history_dir),
        serves_root=not options.no_root,
        spool=ledger.path.parent.absolute(),
    )
    schedd = Schedd(settings, lambda: connect(url), ledger)
    metrics = metrics_setup.start_metrics(options, os.environ, schedd, ledger.path)
    try:
        options.socket.parent.mkdir(parents=True, exist_ok=True)
        check_shared_directory(options.socket.parent)
        server = Server(options.socket, Router(schedd, ledger, options.socket), wants_stdin)
    except OSError as error:
        raise CannotServe(f"socket {options.socket}: {error.strerror or error}") from error

    def end(_number: int, _frame: object) -> None:
        schedd.stop()
        watch = threading.Timer(END_TIMEOUT, _end_now, [options.socket, lock])
        watch.daemon = True
        watch.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
    announced = False

    def ready() -> None:
        nonlocal announced
        if not announced:
            print("thyme-schedd: ready", file=sys.stderr, flush=True)
        announced = True

    try:
        schedd.run(ready)
    finally:
        if metrics is not None:
            metrics.close()
        server.shutdown()
        # the user has to get the answer to a submit: without it he submits the job twice
        server.drain(ANSWER_TIMEOUT)
        server.server_close()
        options.socket.unlink(missing_ok=True)
        ledger.close()
        os.close(lock)
    return 0


def _end_now(socket: Path, lock: int) -> None:
    """Leave the process at once; nothing is lost, as all that counts is in the stream."""
    print("thyme-schedd: broker or disk does not answer; ended without it", file=sys.stderr)
    socket.unlink(missing_ok=True)
    # by hand: a thread that waits for a hung mount keeps the process, and what it has open
    os.close(lock)
    os._exit(0)


def _history_dir(path: Path | None) -> Path | None:
    if path is not None and not (path.is_dir() and os.access(path, os.W_OK | os.X_OK)):
        raise CannotServe(f"--history-dir {path}: no directory that we can write to; make it")
    return path.absolute() if path is not None else None


def _lock_spool(spool: Path) -> int:
    """Lock the spool, so that no other schedd uses it, and return the lock's descriptor."""
    try:
        make_private_directory(spool)
        lock = os.open(spool / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CannotServe(f"spool {spool}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise CannotServe(f"spool {spool}: another schedd is using it") from None
    return lock


if __name__ == "__main__":
    sys.exit(main())
