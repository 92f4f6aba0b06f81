"""``planctonctl start``, ``force-start`` and ``nodaemon``: run the daemon."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from plancton.daemon import logs, process
from plancton.daemon.admin_mode import AdminFlags
from plancton.daemon.lock import running_pid
from plancton.errors import AlreadyRunning, ExitCode, PlanctonError
from plancton.model import Mode
from plancton.paths import Paths, is_url

from .document import read_document

#: Seconds that a daemon may take to say that it works.
_START_WAIT = 20.0


def nodaemon(paths: Paths, arguments: argparse.Namespace) -> int:
    """Run the daemon in this process; with --log-file (from ``start``) it logs to the file."""
    handler = logs.log_to_file(paths.log) if arguments.log_file else logs.log_to_stdout()
    try:
        process.run(paths, os.environ)
    finally:
        logs.remove_handler(handler)
    return ExitCode.OK


def force_start(paths: Paths, arguments: argparse.Namespace) -> int:
    """End a drain, also one that the environment asks for, try pilots again, and start."""
    flags = AdminFlags(paths.rundir)
    flags.resume()
    flags.request_retry()
    os.environ.pop("PLANCTON_START_DRAIN", None)
    pid = running_pid(paths)
    if pid is not None:
        os.kill(pid, signal.SIGUSR1)
        raise AlreadyRunning(
            f"a daemon (pid {pid}) runs with {paths.rundir} already; "
            "a drain is ended, and pilots are tried again"
        )
    arguments.wait = _START_WAIT
    return start(paths, arguments)


def start(paths: Paths, arguments: argparse.Namespace) -> int:
    """Start the daemon apart from this terminal, and wait until it works."""
    pid = running_pid(paths)
    if pid is not None:
        raise AlreadyRunning(f"a daemon (pid {pid}) runs with {paths.rundir} already")
    wait = _START_WAIT if arguments.wait is None else arguments.wait
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", "plancton", "nodaemon", "--log-file", *_places(arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
            cwd="/",
        )
        deadline = time.monotonic() + wait
        while time.monotonic() < deadline:
            code = child.poll()
            if code is not None:
                errors.seek(0)
                sys.stderr.write(errors.read().decode("utf-8", "replace"))
                return code or ExitCode.FAILED
            document = read_document(paths)
            if document and document["daemon"]["pid"] == child.pid:
                print(f"started (pid {child.pid}), log in {paths.log}")
                _print_hindrances(paths, document)
                child.returncode = 0  # it outlives this command, which does not wait for it
                return ExitCode.OK
            time.sleep(0.02)
    child.returncode = 0
    raise PlanctonError(
        f"the daemon (pid {child.pid}) has not said within {wait:g} s that it works; "
        f"see {paths.log}"
    )


def _print_hindrances(paths: Paths, document: dict[str, Any]) -> None:
    """Say at once why a daemon that works starts no pilot, or does not do all it should."""
    since = AdminFlags(paths.rundir).find_drain_start()
    if since is not None:
        asked = time.strftime("%Y-%m-%d %H:%M", time.localtime(since))
        # by now it may have ended and taken its flag away
        stops = document["mode"] == Mode.DRAIN_STOP.value
        ends = ", and the daemon ends after the last pilot" if stops else ""
        print(f"the node drains since {asked}{ends}: `planctonctl resume` ends that")
    if document["engine"]["problem"]:
        print(f"the engine does not answer yet: {document['engine']['problem']}")
    if document["config"]["problem"]:
        print(f"configuration: {document['config']['problem']}")


def _places(arguments: argparse.Namespace) -> list[str]:
    """Return the options as they were given, with absolute paths: the daemon works in /."""
    words = ["--user"] if arguments.user else []
    for name in ("logdir", "rundir", "confdir", "pidfile"):
        value = getattr(arguments, name)
        if value:
            words += [f"--{name}", value if is_url(value) else str(Path(value).absolute())]
    return words
