"""``make bench``: measures against the goals, prints a table, writes build/bench.json.

Every figure is a ratio of two measurements of one run: these machines are
noisy, and an absolute number says more about the day than about the code.

SIGTERM ends a run as Ctrl-C does: what the benches started is ended, and their
directories go.
"""

import argparse
import json
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.table import Table

from tests.bench import BENCHES

from .result import Result

OUTPUT = Path("build/bench.json")


def main() -> int:
    """Exit code 0 when every goal is met, 1 when one is not, 2 for an unknown id."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--only", default="", help="ids, separated by commas")
    only = parser.parse_args().only
    chosen = [each.strip() for each in only.split(",")] if only else []
    unknown = [each or "an empty one" for each in chosen if each not in BENCHES]
    if unknown:
        known = ", ".join(BENCHES)
        print(f"bench: no such id: {', '.join(unknown)}; there are: {known}", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, end)
    results = {each: BENCHES[each]() for each in chosen or BENCHES}
    Console(width=max(Console().width, 150)).print(table(results))
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    written = [{"id": each, **asdict(result)} for each, result in results.items()]
    OUTPUT.write_text(json.dumps(written, indent=2) + "\n")
    return 0 if all(result.met for result in results.values()) else 1


def end(number: int, _frame: FrameType | None) -> None:
    """Leave through every ``with`` and ``finally`` of the bench, and what ``atexit`` keeps."""
    # a second Ctrl-C must not stop the shutdown half way
    for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)


def table(results: Mapping[str, Result]) -> Table:
    made = Table("id", "what", "value", "reference", "ratio", "goal", "met")
    for name, each in results.items():
        made.add_row(
            name,
            each.what,
            f"{each.value:.4g} {each.unit}",
            each.reference,
            f"{each.ratio:.3g}",
            each.goal,
            "yes" if each.met else "NO",
        )
    return made


if __name__ == "__main__":
    sys.exit(main())
