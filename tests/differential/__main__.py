"""Run the scenarios with the condor commands on PATH: a table, or HTCondor's answers anew.

``python -m tests.differential`` compares and ends with 1 if anything differs that no page says.
``--record`` writes into scenarios.yaml what the commands answer: only where they are HTCondor's
own. Comments of the file are kept at its head alone.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from tests.differential.scenarios import FILE, Comparison, read_scenarios, run_scenario


def main() -> int:
    """Carry out the command line; returns the exit code."""
    options = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    options.add_argument("--record", action="store_true", help="write the answers anew")
    recording = options.parse_args().record
    scenarios = read_scenarios()
    verdicts: Counter[str] = Counter()
    for scenario in scenarios:
        with tempfile.TemporaryDirectory() as place:
            for step, compared in zip(
                scenario["steps"], run_scenario(scenario, Path(place), os.environ), strict=True
            ):
                if recording:
                    record_answer(step, compared)
                    continue
                verdicts[compared.verdict] += 1
                if compared.verdict == "differs":
                    print(f"{scenario['case']}: {compared.run}")
                    print(f"  HTCondor: {compared.htcondor}\n  here: {compared.got}")
    if recording:
        FILE.write_text(format_scenarios(scenarios, FILE.read_text()))
        return 0
    print(
        f"scenarios {len(scenarios)}, steps {verdicts.total()}: equal {verdicts['equal']},"
        f" documented {verdicts['documented']}, differing {verdicts['differs']}"
    )
    return 1 if verdicts["differs"] else 0


def record_answer(step: dict[str, Any], compared: Comparison) -> None:
    """Put what HTCondor answered now into a step of the file."""
    got = compared.got
    step[("until" if "until" in step else "stdout")] = got.stdout
    step.update(code=got.code, stderr=got.stderr)
    for name, usual in (("stdout", ""), ("stderr", ""), ("code", 0)):
        if step.get(name) == usual:
            del step[name]


def format_scenarios(scenarios: list[dict[str, Any]], old: str) -> str:
    """Return the file's text, with the comment at the head of the old one."""
    head = old.partition("\n\n")[0]
    body = yaml.safe_dump(scenarios, sort_keys=False, allow_unicode=True, width=100)
    return f"{head}\n\n{body}"


if __name__ == "__main__":
    sys.exit(main())
