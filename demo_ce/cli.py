"""``plancton-demo-ce``: commission a site with agents as a Grid's CE submits them.

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

from .agent import Behaviour
from .commands import Commands
from .decide import Limits
from .dialects import Dialect
from .environment import clean_env
from .errors import BadUse, CeError, ExitCode, SiteMute
from .loop import Ce, Orders
from .options import PROGRAM, parse_agents, parse_dialects, parser
from .proxy import demo_credential, write_proxy
from .site import Site, custom_attributes
from .summary import all_as_meant, summary


def _site(options: argparse.Namespace, dialects: Sequence[Dialect], directory: Path) -> Site:
    route = options.route
    router, resource = route == "router", "" if route in ("router", "local") else route
    if route == "local" and any(dialect.NAME == "alien-stdin" for dialect in dialects):
        raise BadUse("--route local: alien-stdin knows none; choose other dialects or routes")
    custom = ""
    if options.custom_classad:
        custom = custom_attributes(_text(options.custom_classad))
    return Site(
        cluster_monitor=f"{socket.gethostname()}:8084",
        log_dir=str(directory / "log"),
        date=time.strftime("%Y-%m-%d"),
        pid=os.getpid(),
        router=router,
        grid_resource=resource,
        custom=custom,
    )


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadUse(f"cannot read {path}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _prepare(directory: Path, site: Site) -> str:
    """Make the CE's directories and a proxy; returns the proxy's PEM. Raises BadUse."""
    try:
        for folder in (directory / "tmp", Path(site.log_folder)):
            folder.mkdir(parents=True, exist_ok=True)
        (directory / "agents.jsonl").write_text("")
        pem = demo_credential(datetime.now(timezone.utc))
        write_proxy(directory / "proxy", pem)
    except OSError as error:
        raise BadUse(
            f"cannot write in {directory}: {_reason(error)}; name another with --dir"
        ) from error
    return pem.decode()


def user_name() -> str:
    """Whose jobs to count. AliEn trusts LOGNAME, which is another user's after ``su``."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


class _Stop:
    """SIGINT or SIGTERM ends the loop between two commands; a second one ends the program."""

    def __init__(self) -> None:
        self.code = ExitCode.OK
        self._asked = threading.Event()
        self.asked = self._asked.is_set
        self.pause = self._asked.wait
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._take)

    def _take(self, number: int, frame: FrameType | None) -> None:
        code = ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.TERMINATED
        if self._asked.is_set():
            raise SystemExit(code)
        self.code = code
        self._asked.set()


def _run(options: argparse.Namespace) -> ExitCode:
    default = Behaviour(seconds=options.seconds)
    dialects = parse_dialects(options.dialect)
    behaviours = parse_agents(options.agent, options.agents, default)
    directory = Path(options.dir).absolute()
    site = _site(options, dialects, directory)
    pem = _prepare(directory, site)
    orders = Orders(
        agents=options.agents,
        limits=Limits(options.max_queued, options.max_running),
        dialects=dialects,
        default=default,
        behaviours=behaviours,
        submit_args=options.submit_args,
        ledger=str(Path(options.ledger).absolute()) if options.ledger else "",
    )
    environment = clean_env(os.environ) | {"X509_USER_PROXY": str(directory / "proxy")}
    stop = _Stop()
    ce = Ce(orders, site, user_name(), Commands(environment), directory, pem, _say, stop.asked)
    began = time.monotonic()
    code = ExitCode.OK
    if not _follow(ce, options.interval, options.patience, stop):
        code = ExitCode.NOT_AS_MEANT
        _say(f"nothing moved for {options.patience:.0f} s; giving up")
    code = stop.code or code
    if not ce.records and code == ExitCode.NOT_AS_MEANT:
        raise SiteMute("the site took no agent; see above for what its commands said")
    lines = ce.lines()
    for text in summary(lines, options.agents, time.monotonic() - began):
        print(text, flush=True)
    if code == ExitCode.OK and not all_as_meant(lines, options.agents):
        code = ExitCode.NOT_AS_MEANT
    return code


def _follow(ce: Ce, interval: float, patience: float, stop: _Stop) -> bool:
    """Turn the loop until all agents ended or a stop is asked for.

    False when nothing moved for ``patience`` s.
    """
    last = time.monotonic()
    while not stop.asked():
        if ce.round(time.time()):
            last = time.monotonic()
        if ce.finished:
            break
        if time.monotonic() - last > patience:
            return False
        stop.pause(interval)
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        return _run(options)
    except CeError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
