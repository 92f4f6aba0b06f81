"""``make bench``: measures against the goals, prints a table, writes build/bench.json.

Every figure is a ratio of two measurements of one run: these machines are
noisy, and an absolute number says more about the day than about the code.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from . import BENCHES
from .result import Result

OUTPUT = Path("build/bench.json")


def main() -> int:
    """Exit code 0 when every goal is met, 1 when one is not, 2 for an unknown id."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--only", default="", help="ids, separated by commas")
    chosen = [each for each in parser.parse_args().only.split(",") if each]
    unknown = [each for each in chosen if each not in BENCHES]
    if unknown:
        known = ", ".join(BENCHES)
        print(f"bench: no such id: {', '.join(unknown)}; there are: {known}", file=sys.stderr)
        return 2
    results = [BENCHES[each]() for each in chosen or BENCHES]
    Console(width=max(Console().width, 150)).print(table(results))
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n")
    return 0 if all(result.met for result in results) else 1


def table(results: list[Result]) -> Table:
    made = Table("id", "what", "value", "reference", "ratio", "goal", "met")
    for each in results:
        made.add_row(
            each.id,
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
