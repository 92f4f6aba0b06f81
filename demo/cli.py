"""The command line of ``make demo``: its options, its signals and its exit codes."""

import argparse
import ctypes
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console
from rich.table import Table

from .errors import Broken, DemoError, ExitCode
from .layout import Layout, claim_directory
from .plan import PLAN
from .progress import make_progress
from .report import render_page
from .run import Demo, Result
from .site import Site

_EPILOG = """\
exit codes: 0 every job ended as planned; 1 something differed or the site broke down;
2 wrong use; 3 another demo uses the directory; 129, 130, 131, 143 ended by SIGHUP, SIGINT,
SIGQUIT or SIGTERM. However it ends, nothing is left running; a process that cannot be ended is
named, and the code is 1.
"""
#: What ends the demo in order; what is ignored from the start (nohup) stays so.
_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
#: The option of prctl(2) that asks for a signal at the parent's end.
_PR_SET_PDEATHSIG = 1


class _Interrupted(BaseException):
    """A signal asked the demo to end. Not an Exception: no handler may take it for an error."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.code = 128 + number


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise _Interrupted(number)


def _set_signals(handler: signal.Handlers | None) -> None:
    """Let the signals interrupt (None), or ignore them."""
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler or _interrupt)


def _end_with(parent: int) -> None:
    """Ask the kernel to send SIGTERM when the process that started this one ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        raise _Interrupted(signal.SIGTERM)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; return its exit code."""
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
    parser.add_argument(
        "--end-with",
        type=int,
        metavar="PID",
        help="end when the parent process, PID, ends, as `make demo` wants it",
    )
    options = parser.parse_args(arguments)
    began = time.monotonic()
    _set_signals(None)
    try:
        if options.end_with is not None:
            _end_with(options.end_with)
        with claim_directory(options.dir) as layout:
            return _run(layout, began)
    except _Interrupted as interrupted:
        return _fail("interrupted; everything it had started is ended", interrupted.code)
    except DemoError as error:
        return _fail(str(error), error.exit_code)
    except BrokenPipeError:
        return _fail("nobody reads its output; everything it had started is ended", 1)
    except OSError as error:  # a full disk, most likely
        where = f": {error.filename}" if error.filename else ""
        return _fail(f"{error.strerror}{where}", ExitCode.MISMATCH)


def _fail(text: str, code: int) -> int:
    """Print one line on stderr, which may be a terminal that was closed; return ``code``."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream, line in ((sys.stdout, ""), (sys.stderr, f"demo: {text}\n")):
        try:
            stream.write(line)
            stream.flush()
        except OSError:
            # or Python complains of it once more, at its exit
            os.dup2(nowhere, stream.fileno())
    return code


def _run(layout: Layout, began: float) -> int:
    site = Site(layout)
    shown = make_progress(Console())
    try:
        result = Demo(layout, site, shown, began).play()
    finally:
        _set_signals(signal.SIG_IGN)
        # First of all: the terminal may be gone, and then every word raises an error.
        left = site.tear_down()
        with suppress(OSError):
            shown.close()
        if left:  # whatever else has happened
            pids = " ".join(str(process.pid) for process in left)
            raise Broken(f"cannot end these processes: {pids}")
    layout.report.write_text(render_page(result, PLAN))
    return _print_result(result, layout)


def _print_result(result: Result, layout: Layout) -> int:
    """Print the table, what differed, and the summary line; return the exit code."""
    Console(width=None if sys.stdout.isatty() else 100).print(_table(result))
    for difference in result.verdict.differences:
        print(f"differs: {difference}")
    print(f"the report: {layout.report}")
    print(result.verdict.totals.line(result.seconds), flush=True)
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
