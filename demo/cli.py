"""``make demo``: a whole site on this machine, hurt while it works, and every job accounted for."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console
from rich.table import Table

from .errors import Broken, DemoError, ExitCode
from .layout import Layout, claimed
from .plan import PLAN
from .progress import progress
from .report import page
from .run import Demo, Result
from .site import Site

_EPILOG = """\
exit codes: 0 every job is what it should be; 1 something differed or the site broke down;
2 bad use; 3 another demo has the directory; 130, 143 interrupted (nothing is left running).
"""


class _Interrupted(BaseException):
    """Not an Exception: nothing on the way may take it for an error."""

    def __init__(self, code: ExitCode) -> None:
        super().__init__(code)
        self.code = code


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise _Interrupted(ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.TERMINATED)


def _listen(listening: bool) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt if listening else signal.SIG_IGN)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="demo",
        description="Run 24 agents through a whole site on this machine, faults included, "
        "and check every one of them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--dir", type=Path, default=Path("build/demo"), help="where it all happens (%(default)s)"
    )
    options = parser.parse_args(arguments)
    began = time.monotonic()
    _listen(True)
    try:
        with claimed(options.dir) as layout:
            return _demo(layout, began)
    except _Interrupted as interrupted:
        print("demo: interrupted; everything it had started is ended", file=sys.stderr)
        return interrupted.code
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return error.exit_code


def _demo(layout: Layout, began: float) -> int:
    site = Site(layout)
    shown = progress(Console())
    try:
        result = Demo(layout, site, shown, began).play()
    finally:
        _listen(False)
        shown.close()
        left = site.tear_down()
    if left:
        pids = " ".join(str(process.pid) for process in left)
        raise Broken(f"cannot end these processes: {pids}")
    layout.report.write_text(page(result, PLAN))
    return _tell(result, layout)


def _tell(result: Result, layout: Layout) -> int:
    """The table, what differed, and the line that says it all."""
    Console(width=None if sys.stdout.isatty() else 100).print(_table(result))
    for difference in result.verdict.differences:
        print(f"differs: {difference}")
    print(f"the report: {layout.report}")
    print(result.verdict.totals.line(result.seconds))
    return ExitCode.MISMATCH if result.verdict.differences else ExitCode.OK


def _table(result: Result) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("agent", "job", "dialect", "what happens to it", "meant", "seen", "runs", ""):
        table.add_column(name)
    found = {one.record.number: one for one in result.seen}
    for agent in PLAN:
        one = found.get(agent.number)
        if one is None:
            table.add_row(str(agent.number), "-", "-", agent.story.value, agent.meant, "-", "-")
            continue
        table.add_row(
            str(agent.number),
            one.record.job,
            one.record.dialect,
            agent.story.value,
            agent.meant,
            one.end,
            str(one.starts),
            "differs" if agent.number in result.verdict.by_agent else "ok",
        )
    return table
