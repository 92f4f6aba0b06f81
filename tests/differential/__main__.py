"""Run the scenarios with the condor commands on PATH: a table, or HTCondor's answers anew.

``python -m tests.differential`` compares and ends with 1 if anything differs that no page says.
``--record`` writes into the files what the commands answer: only where they are HTCondor's
own. Comments of a file are kept at its head alone. ``--only TEXT``: the scenarios whose file or
case has the text. The temporary directory has to be one that the pool's schedd sees, and the
user's queue should be empty.
"""

import argparse
import difflib
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from tests.differential.scenarios import RECORDED, Comparison, read_file, run_scenario

#: Seconds for which a step is repeated, while recording, that never has the answer waited for.
RECORDING_PATIENCE = 40.0


def main() -> int:
    """Carry out the command line; returns the exit code."""
    options = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    options.add_argument("--record", action="store_true", help="write the answers anew")
    options.add_argument("--only", default="", help="a text in the names of file or case")
    arguments = options.parse_args()
    verdicts: Counter[str] = Counter()
    count = 0
    for path in sorted(RECORDED.glob("*.yaml")):
        scenarios = read_file(path)
        chosen = [each for each in scenarios if arguments.only in f"{path.stem}: {each['case']}"]
        for scenario in chosen:
            verdicts.update(run_and_report(scenario, arguments.record))
        count += len(chosen)
        if arguments.record and chosen:
            path.write_text(format_scenarios(scenarios, path.read_text()))
    if arguments.record:
        return 0
    print(
        f"scenarios {count}, steps {verdicts.total()}: equal {verdicts['equal']},"
        f" documented {verdicts['documented']}, differing {verdicts['differs']}"
    )
    return 1 if verdicts["differs"] else 0


def run_and_report(scenario: dict[str, Any], recording: bool) -> list[str]:
    """Run a scenario; print what differs, or record it; return the verdict of each step."""
    verdicts = []
    with tempfile.TemporaryDirectory() as place:
        run = run_scenario(scenario, Path(place), os.environ, RECORDING_PATIENCE)
        for step, compared in zip(scenario["steps"], run, strict=True):
            verdicts.append(compared.verdict)
            if recording:
                record_answer(step, compared)
            elif compared.verdict == "differs":
                print(format_difference(scenario["case"], compared), flush=True)
    return verdicts


def format_difference(case: str, compared: Comparison) -> str:
    """Return the lines that are not printed here (-), and those that are printed here alone (+)."""
    lines = [f"== {case}: {compared.run}"]
    for name in ("code", "stdout", "stderr"):
        wanted, got = str(getattr(compared.expected, name)), str(getattr(compared.got, name))
        if wanted != got:
            lines.append(f" {name}")
            compare = difflib.Differ().compare(wanted.split("\n"), got.split("\n"))
            lines += [repr(line)[1:-1] for line in compare if line[:1] in "+-"]
    return "\n".join(lines)


def record_answer(step: dict[str, Any], compared: Comparison) -> None:
    """Put what HTCondor answered now into a step of the file."""
    got = compared.got
    step[("until" if "until" in step else "stdout")] = got.stdout
    step.update(code=got.code, stderr=got.stderr)
    for name, usual in (("stdout", ""), ("stderr", ""), ("code", 0)):
        if step.get(name) == usual:
            del step[name]


class _Dumper(yaml.SafeDumper):
    """Writes lines of text as a block, and indents lists."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def format_scenarios(scenarios: list[dict[str, Any]], old: str) -> str:
    """Return the file's text, with the comment at the head of the old one."""
    head = old.partition("\n\n")[0]
    body = yaml.dump(scenarios, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return f"{head}\n\n{body}"


if __name__ == "__main__":
    sys.exit(main())
