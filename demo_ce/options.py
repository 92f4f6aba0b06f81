"""The demo CE's command line: options, their help and their checks."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from commandline.parser import Parser, add_version

from .agent import Behaviour, parse_behaviour
from .dialects import DIALECTS, Dialect
from .errors import UsageError

PROGRAM = "plancton-demo-ce"

_EPILOG = """\
dialects: alien (the current AliEn: a file, V2 environment, condor_status), alien-stdin
(the older AliEn: stdin, condor_q -totals), condor-pm (the first one: stdin, V1 environment),
jalien (JAliEn: a file, condor_q -const), alien-v2-19 and condor-pm-v2-19 (both modules of AliEn
v2-19: stdin, condor_status or condor_q -format); mixed: all of them in turn.

exit codes: 0 every agent ended as expected (also if it was removed); 1 one did not; 2 wrong
usage; 3 the site never answered or took no agent; 130, 143 interrupted.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the demo CE's command line."""
    made = Parser(
        prog=PROGRAM,
        description="Submit real job agents through condor_submit as the AliEn CE does, "
        "follow them to their ends and report how each ended.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("--agents", type=_positive, default=24, metavar="N", help="number of agents (%(default)s)")
    add(
        "--max-queued",
        type=_positive,
        default=8,
        metavar="N",
        help="agents waiting at once (%(default)s)",
    )
    add(
        "--max-running",
        type=_positive,
        default=1000,
        metavar="N",
        help="agents queued and running at once (%(default)s)",
    )
    add(
        "--dialect",
        default="mixed",
        metavar="D[,D]",
        help="whose job descriptions to submit (%(default)s)",
    )
    add(
        "--seconds",
        type=_natural,
        default=3,
        metavar="S",
        help="seconds of work of an agent (%(default)s)",
    )
    add(
        "--agent",
        action="append",
        default=[],
        metavar="N=DO",
        help="how agent N behaves: exit:CODE, signal:NUMBER, seconds:S, joined with commas",
    )
    add("--dir", default="demo-ce", metavar="D", help="the CE's own directory (./%(default)s)")
    add(
        "--interval",
        type=_seconds,
        default=5.0,
        metavar="S",
        help="seconds between two runs of the loop (%(default)s)",
    )
    add(
        "--patience",
        type=_seconds,
        default=900.0,
        metavar="S",
        help="give up after so many seconds without any change (%(default)s)",
    )
    add(
        "--route",
        default="router",
        metavar="R",
        help="router (vanilla, WantJobRouter), local (vanilla), or a grid_resource (%(default)s)",
    )
    add("--submit-args", default="", metavar="ARGS", help="more arguments for condor_submit")
    add("--custom-classad", metavar="FILE", help="the site's custom-classad.jdl")
    add(
        "--ledger",
        default="",
        metavar="FILE",
        help="file that every run of an agent appends to (nodes must share it)",
    )
    add_version(made)
    return made


def _natural(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def _positive(text: str) -> int:
    value = _natural(text)
    if value == 0:
        raise argparse.ArgumentTypeError("it must be at least 1")
    return value


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def parse_dialects(text: str) -> list[Dialect]:
    """Parse ``mixed`` or names joined with commas. Raises UsageError."""
    if text == "mixed":
        return list(DIALECTS.values())
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in DIALECTS:
            raise UsageError(f"--dialect {name!r}: known are {', '.join(DIALECTS)} and mixed")
    return [DIALECTS[name] for name in names]


def parse_agents(values: Sequence[str], agents: int, default: Behaviour) -> dict[int, Behaviour]:
    """Parse the values ``N=DO`` of --agent. Raises UsageError.

    ``agents``: how many there are; ``default``: what a value does not set.
    """
    found: dict[int, Behaviour] = {}
    for value in values:
        number, equals, text = value.partition("=")
        if not equals or not (number.isascii() and number.isdigit()):
            raise UsageError(f"--agent {value!r}: write it as N=DO, e.g. 5=exit:7")
        if not 1 <= int(number) <= agents:
            raise UsageError(f"--agent {value!r}: agents are numbered 1 to {agents}")
        found[int(number)] = parse_behaviour(text, default)
    return found
