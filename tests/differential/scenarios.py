"""Run recorded scenarios with the condor commands on PATH and compare the answers."""

import getpass
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from tests.differential.normalise import Names, find_cluster, normalise

RECORDED = Path(__file__).with_name("recorded")
PAGE = Path(__file__).parents[2] / "docs/reference/differences.md"
#: Seconds until a step has answered, and until one that is repeated has the answer waited for.
PATIENCE = 120.0
_OWN_TOTALS = re.compile(r"^Total for USER@HOST: .*\n", re.M)


@dataclass(frozen=True)
class Reply:
    """What a step printed on both streams, normalised, and its exit code."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Comparison:
    """One step's answer beside HTCondor's."""

    run: str
    htcondor: Reply
    got: Reply
    #: What is expected here: HTCondor's, or what the page of differences says.
    expected: Reply
    documented: str

    @property
    def verdict(self) -> str:
        """Return ``equal``, ``documented`` or ``differs``."""
        if self.got == self.htcondor:
            return "equal"
        return "documented" if self.got == self.expected else "differs"


def read_file(path: Path) -> list[dict[str, Any]]:
    """Return the scenarios of a file; a step that is a text alone was never recorded."""
    scenarios: list[dict[str, Any]] = yaml.safe_load(path.read_text())
    for scenario in scenarios:
        scenario["steps"] = [
            {"run": step} if isinstance(step, str) else step for step in scenario["steps"]
        ]
    return scenarios


def read_scenarios() -> list[dict[str, Any]]:
    """Return the scenarios of all files."""
    return [each for path in sorted(RECORDED.glob("*.yaml")) for each in read_file(path)]


def read_expected(step: Mapping[str, Any]) -> Reply:
    """Return HTCondor's answer to a step."""
    return Reply(
        step.get("code", 0), step.get("until", step.get("stdout", "")), step.get("stderr", "")
    )


def run_scenario(
    scenario: Mapping[str, Any], place: Path, env: Mapping[str, str], patience: float = PATIENCE
) -> Iterator[Comparison]:
    """Run the steps of a scenario in a directory; what each answered. Its jobs are removed.

    :param scenario: one of ``read_scenarios``
    :param place: an empty directory
    :param env: the environment of the commands: PATH, and where the schedd is
    :param patience: seconds for which a step with ``until`` is repeated
    """
    for name, text in scenario.get("files", {}).items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
        (place / name).chmod(0o755 if name.endswith(".sh") else 0o644)
    clusters: list[int] = []
    host = _call("condor_config_val FULL_HOSTNAME", place, env).stdout.strip()
    names = Names(getpass.getuser(), host, str(place))
    try:
        for step in scenario["steps"]:
            htcondor = read_expected(step)
            expected = replace(htcondor, **step.get("ours", {}))
            if names.user == "root":  # to whom HTCondor's condor_q shows the jobs of all
                htcondor, expected = (
                    replace(each, stdout=_OWN_TOTALS.sub("", each.stdout))
                    for each in (htcondor, expected)
                )
            deadline = time.monotonic() + (patience if "until" in step else 0.0)
            while True:
                got = _run(step["run"], place, env, clusters, names)
                if got in (htcondor, expected) or time.monotonic() > deadline:
                    break
                time.sleep(0.2)
            yield Comparison(step["run"], htcondor, got, expected, step.get("documented", ""))
    finally:
        _call("condor_rm -all", place, env)


def _call(command: str, place: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/bash", "-c", command],
        cwd=place,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=PATIENCE,
        check=False,
    )


def _run(
    command: str, place: Path, env: Mapping[str, str], clusters: list[int], names: Names
) -> Reply:
    """Run a step; a cluster that it submitted is added to ``clusters``."""
    variables = {f"C{number}": str(cluster) for number, cluster in enumerate(clusters, 1)}
    done = _call(command, place, {**env, **variables, "ME": names.user})
    cluster = find_cluster(done.stdout)
    if cluster is not None and cluster not in clusters:
        clusters.append(cluster)
    return Reply(
        done.returncode,
        normalise(done.stdout, clusters, names),
        normalise(done.stderr, clusters, names),
    )
