"""Set the schedd up, serve until a signal ends it, and clear up."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import gc
import logging
import os
import signal
import sqlite3
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

# the ClassAd library looks for HTCondor's configuration; there is none here
os.environ.setdefault("CONDOR_CONFIG", "/dev/null")

from hostfiles.private_directory import check_shared_directory, make_private_directory
from hostfiles.regular_file import open_regular
from thyme import privileges
from thyme.arguments import read_broker_url
from thyme.broker import connect
from thyme.broker.lanes import check_pool, read_bounds
from thyme.errors import ExitCode, ThymeError
from vobox.files import history_files
from vobox.ledger.writer import Ledger
from vobox.rpc.server import Server
from vobox.schedd.lanes import LaneSettings, parse_attributes
from vobox.schedd.main_loop import Schedd
from vobox.schedd.state import Settings

from . import metrics_setup
from .router import Router, wants_stdin

log = logging.getLogger(__name__)

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
#: From glibc's malloc.h.
_M_ARENA_MAX = -8


def _share_freed_memory() -> None:
    """Let all threads allocate from two places; to be called before there are threads.

    glibc has eight places for each processor, so that threads need not wait for each other, and
    each place keeps what a large command has freed: of hundreds of MB, the next thread uses none.
    Python's threads wait for each other anyway.
    """
    with contextlib.suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def serve(options: argparse.Namespace) -> int:
    """Serve as the command line says; returns the exit code, raises ThymeError."""
    url = read_broker_url(options.url, os.environ)
    threading.stack_size(THREAD_STACK)
    if os.geteuid() == 0:
        # acting for other users must not bring root's groups along
        os.setgroups([])
        # the kernel leaves it to a thread that acts for another user
        privileges.drop_capability(privileges.CAP_SYS_RESOURCE)
    # all that was made until now stays; what is made from now on is looked through for cycles once
    # in 50,000 new objects (700 by default): a sixth of what an event of a job costs
    gc.freeze()
    gc.set_threshold(50_000)
    lock = _lock_spool(options.spool)
    with _using_spool(options.spool):
        ledger = Ledger(options.spool / "ledger.db")
    _make_socket_directory(options.socket)
    settings = Settings(
        name=options.name,
        pool=check_pool(options.pool or os.environ.get("THYME_QUEUE") or "alien_jobs"),
        lease=options.lease,
        policy_interval=options.policy_interval,
        max_attempts=options.max_attempts,
        max_jobs_per_owner=options.max_jobs_per_owner,
        max_jobs_per_submission=options.max_jobs_per_submission,
        max_bytes_per_owner=options.max_bytes_per_owner,
        history_dir=_find_history_dir(options.history_dir, options.socket),
        owns_history=options.history_dir is None,
        log_file=_find_log_file(),
        serves_root=not options.no_root,
        spool=ledger.path.parent.absolute(),
        lanes=LaneSettings(
            read_bounds(options.lanes, os.environ),
            parse_attributes(options.lane_attributes),
            options.lane_undeclared,
            options.lane_patience,
        ),
    )
    _share_freed_memory()
    with _using_spool(options.spool):
        schedd = Schedd(settings, lambda: connect(url), ledger)
    metrics = metrics_setup.start_metrics(options, os.environ, schedd, ledger.path)
    try:
        server = Server(options.socket, Router(schedd, ledger, options.socket), wants_stdin)
    except OSError as error:
        raise CannotServe(f"socket {options.socket}: {error.strerror or error}") from error

    def end(_number: int, _frame: object) -> None:
        schedd.stop()
        watch = threading.Timer(END_TIMEOUT, _end_now, [options.socket, lock])
        watch.daemon = True
        # where the node gives no thread, a hung broker keeps us until we are killed
        with contextlib.suppress(RuntimeError):
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
        with _using_spool(options.spool):
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


@contextlib.contextmanager
def _using_spool(spool: Path) -> Iterator[None]:
    """Raise errors of the ledger as CannotServe: the disk is full, for example."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise CannotServe(f"spool {spool}: {error}") from error


def _end_now(socket: Path, lock: int) -> None:
    """Leave the process at once; nothing is lost, as all that counts is in the stream."""
    print("thyme-schedd: broker or disk does not answer; ended without it", file=sys.stderr)
    socket.unlink(missing_ok=True)
    # by hand: a thread that waits for a hung mount keeps the process, and what it has open
    os.close(lock)
    os._exit(0)


def _make_socket_directory(socket: Path) -> None:
    try:
        socket.parent.mkdir(parents=True, exist_ok=True)
        check_shared_directory(socket.parent)
    except OSError as error:
        raise CannotServe(f"socket {socket}: {error.strerror or error}") from error


def _find_history_dir(path: Path | None, socket: Path) -> Path | None:
    """Return the directory of history files, ours where none is named; None if we cannot have it.

    Raises CannotServe for one that is named and cannot be written to.
    """
    if path is not None:
        if not (path.is_dir() and os.access(path, os.W_OK | os.X_OK)):
            raise CannotServe(f"--history-dir {path}: no directory that we can write to; make it")
        return path.absolute()
    own = history_files.get_directory(socket)
    try:
        history_files.make_directory(own)
    except OSError as error:  # a CE that reads them is told that there are none
        log.warning("no history files: directory %s: %s", own, error.strerror)
        return None
    return own


def _find_log_file() -> Path | None:
    """Return the file to which standard error goes; None where it goes elsewhere."""
    try:
        is_file = stat.S_ISREG(os.fstat(sys.stderr.fileno()).st_mode)
        return Path(f"/proc/self/fd/{sys.stderr.fileno()}").readlink() if is_file else None
    except (OSError, ValueError):
        return None


def _lock_spool(spool: Path) -> int:
    """Lock the spool, so that no other schedd uses it, and return the lock's descriptor."""
    try:
        make_private_directory(spool)
    except OSError as error:
        raise CannotServe(f"spool {spool}: {error.strerror}") from error
    try:
        lock = open_regular(spool / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise CannotServe(f"spool {spool}: lock {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise CannotServe(f"spool {spool}: another schedd is using it") from None
    return lock
