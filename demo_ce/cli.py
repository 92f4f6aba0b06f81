"""The command line of ``plancton-demo-ce``: commission a site with agents of a Grid CE.

It needs only the condor commands on PATH, ours or HTCondor's own.
"""

from __future__ import annotations

import argparse
import os
import pwd
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType

from commandline.parser import describe_missing_library

from .agent import Behaviour
from .commands import CondorCommands
from .decide import Limits
from .dialects import Dialect
from .environment import clean_environment
from .errors import CeError, ExitCode, NoAnswer, UsageError
from .loop import ComputingElement, RunOptions
from .options import PROGRAM, build_parser, parse_agents, parse_dialects
from .site import Site, format_custom_attributes
from .summary import all_succeeded, format_summary

#: Seconds without any change after which it says what it waits for, again and again.
WAIT_NOTICE = 30.0


def _build_site(options: argparse.Namespace, dialects: Sequence[Dialect], directory: Path) -> Site:
    route = options.route
    router, resource = route == "router", "" if route in ("router", "local") else route
    for dialect in dialects:
        if route == "local" and dialect.name in ("alien-stdin", "alien-v2-19"):
            raise UsageError(
                f"--route local: {dialect.name} knows none; choose other dialects or routes"
            )
    custom = ""
    if options.custom_classad:
        custom = format_custom_attributes(_read_text(options.custom_classad))
    return Site(
        cluster_monitor=f"{socket.gethostname()}:8084",
        log_dir=str(directory / "log"),
        date=time.strftime("%Y-%m-%d"),
        pid=os.getpid(),
        router=router,
        grid_resource=resource,
        custom=custom,
    )


def _read_text(path: str) -> str:
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {_describe_error(error)}") from error


def _describe_error(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _prepare(directory: Path, site: Site) -> str:
    """Make the CE's directories and a proxy; returns the proxy in PEM. Raises UsageError."""
    from .proxy import make_demo_credential, write_proxy  # late: --help needs no library

    try:
        for folder in (directory / "tmp", Path(site.log_folder)):
            folder.mkdir(parents=True, exist_ok=True)
        (directory / "agents.jsonl").write_text("")
        pem = make_demo_credential(datetime.now(timezone.utc))
        write_proxy(directory / "proxy", pem)
    except OSError as error:
        raise UsageError(
            f"cannot write in {directory}: {_describe_error(error)}; name another with --dir"
        ) from error
    return pem.decode()


def find_user_name() -> str:
    """Find the user whose jobs to count; AliEn uses LOGNAME, which is wrong after ``su``."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _print_log(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


class _StopSignals:
    """SIGINT or SIGTERM ends the loop between two commands; a second one ends the program."""

    def __init__(self) -> None:
        self.code = ExitCode.OK
        self._requested = threading.Event()
        self.is_requested = self._requested.is_set
        self.pause = self._requested.wait
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._take)

    def _take(self, number: int, frame: FrameType | None) -> None:
        code = ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.TERMINATED
        if self._requested.is_set():
            raise SystemExit(code)
        self.code = code
        self._requested.set()


def _run(options: argparse.Namespace) -> ExitCode:
    default = Behaviour(seconds=options.seconds)
    dialects = parse_dialects(options.dialect)
    behaviours = parse_agents(options.agent, options.agents, default)
    directory = Path(options.dir).absolute()
    site = _build_site(options, dialects, directory)
    pem = _prepare(directory, site)
    orders = RunOptions(
        agents=options.agents,
        limits=Limits(options.max_queued, options.max_running),
        dialects=dialects,
        default=default,
        behaviours=behaviours,
        submit_args=options.submit_args,
        ledger=str(Path(options.ledger).absolute()) if options.ledger else "",
    )
    environment = clean_environment(os.environ) | {"X509_USER_PROXY": str(directory / "proxy")}
    stop = _StopSignals()
    ce = ComputingElement(
        orders,
        site,
        find_user_name(),
        CondorCommands(environment),
        directory,
        pem,
        _print_log,
        stop.is_requested,
    )
    began = time.monotonic()
    code = ExitCode.OK
    if not _follow(ce, options.interval, options.patience, stop):
        code = ExitCode.FAILED
        _print_log(f"nothing moved for {options.patience:.0f} s; giving up")
    code = stop.code or code
    if not ce.records and code == ExitCode.FAILED:
        raise NoAnswer("the site took no agent; see above for what its commands said")
    lines = ce.list_results()
    for text in format_summary(lines, options.agents, time.monotonic() - began):
        print(text, flush=True)
    if code == ExitCode.OK and not all_succeeded(lines, options.agents):
        code = ExitCode.FAILED
    return code


def _follow(ce: ComputingElement, interval: float, patience: float, stop: _StopSignals) -> bool:
    """Run the loop every ``interval`` s until all agents have ended or a stop is requested.

    Returns False if nothing changed for ``patience`` s; until then says what it waits for.
    """
    last = told = time.monotonic()
    while not stop.is_requested():
        if ce.run_once(time.time()):
            last = told = time.monotonic()
        if ce.finished:
            break
        now = time.monotonic()
        if now - last > patience:
            return False
        if now - told >= min(WAIT_NOTICE, patience / 3):
            told = now
            _print_log(
                f"{ce.describe_waiting()} for {now - last:.0f} s; gives up at {patience:g} s"
            )
        stop.pause(interval)
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo CE as the command line says; return the exit code."""
    options = build_parser().parse_args(arguments)
    try:
        return _run(options)
    except ModuleNotFoundError as error:
        print(f"{PROGRAM}: {describe_missing_library(error, 'demo_ce')}", file=sys.stderr)
        return ExitCode.FAILED
    except CeError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
