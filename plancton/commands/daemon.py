"""planctonctl start, force-start, nodaemon."""

from __future__ import annotations

import argparse
import logging
import logging.handlers
import subprocess
import sys
import tempfile
import time

from plancton import daemon
from plancton.commands.document import read_document
from plancton.control import Flags
from plancton.errors import AlreadyRunning, ExitCode, PlanctonError
from plancton.lock import running_pid
from plancton.paths import Paths

_FORMAT = "%(asctime)s %(levelname)s %(message)s"
#: As in 2017, but fewer.
_LOG_BYTES = 10_000_000
_LOGS_KEPT = 10


def nodaemon(paths: Paths, arguments: argparse.Namespace) -> int:
    """The daemon itself; with --log-file (from ``start``) it logs there."""
    log = logging.getLogger("plancton")
    log.setLevel(logging.INFO)
    handler: logging.Handler = logging.StreamHandler(sys.stdout)
    if arguments.log_file:
        try:
            paths.logdir.mkdir(mode=0o700, parents=True, exist_ok=True)
            handler = logging.handlers.RotatingFileHandler(
                paths.log, maxBytes=_LOG_BYTES, backupCount=_LOGS_KEPT, encoding="utf-8"
            )
        except OSError as error:
            raise PlanctonError(f"{paths.log}: cannot be written: {error.strerror}") from error
    handler.setFormatter(logging.Formatter(_FORMAT))
    log.addHandler(handler)
    try:
        daemon.run(paths)
    finally:
        log.removeHandler(handler)
        handler.close()
    return ExitCode.OK


def force_start(paths: Paths, arguments: argparse.Namespace) -> int:
    Flags(paths.rundir).resume()
    arguments.wait = 20.0
    return start(paths, arguments)


def start(paths: Paths, arguments: argparse.Namespace) -> int:
    """Start the daemon apart from this terminal, and wait until it works."""
    pid = running_pid(paths)
    if pid is not None:
        raise AlreadyRunning(f"a daemon (pid {pid}) runs with {paths.rundir} already")
    command = [sys.executable, "-m", "plancton", "nodaemon", "--log-file"]
    command += ["--logdir", str(paths.logdir), "--rundir", str(paths.rundir)]
    command += ["--confdir", str(paths.confdir), "--pidfile", str(paths.pidfile)]
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
            cwd="/",
        )
        deadline = time.monotonic() + arguments.wait
        while time.monotonic() < deadline:
            code = child.poll()
            if code is not None:
                said.seek(0)
                sys.stderr.write(said.read().decode("utf-8", "replace"))
                return code or ExitCode.FAILED
            document = read_document(paths)
            if document and document["daemon"]["pid"] == child.pid:
                print(f"started (pid {child.pid}), log in {paths.log}")
                child.returncode = 0  # it outlives us: nobody here waits for it
                return ExitCode.OK
            time.sleep(0.02)
    child.returncode = 0
    raise PlanctonError(
        f"the daemon (pid {child.pid}) has not said within {arguments.wait:g} s that it works; "
        f"see {paths.log}"
    )
