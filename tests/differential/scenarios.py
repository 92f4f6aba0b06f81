"""Run recorded scenarios with the condor commands on PATH and compare the answers."""

from __future__ import annotations

import getpass
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from tests.differential.normalise import find_cluster, normalise

FILE = Path(__file__).with_name("scenarios.yaml")
PAGE = Path(__file__).parents[2] / "docs/reference/differences.md"
#: Seconds until a step has answered, and until one that is repeated has the answer waited for.
PATIENCE = 120.0


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
        if self.got != self.expected:
            return "differs"
        return "documented" if self.documented else "equal"


def read_scenarios() -> list[dict[str, Any]]:
    """Return the scenarios of the file."""
    scenarios: list[dict[str, Any]] = yaml.safe_load(FILE.read_text())
    return scenarios


def read_expected(step: Mapping[str, Any]) -> Reply:
    """Return HTCondor's answer to a step."""
    return Reply(
        step.get("code", 0), step.get("until", step.get("stdout", "")), step.get("stderr", "")
    )


def run_scenario(
    scenario: Mapping[str, Any], place: Path, env: Mapping[str, str]
) -> Iterator[Comparison]:
    """Run the steps of a scenario in a directory; what each answered.

    :param scenario: one of ``read_scenarios``
    :param place: an empty directory
    :param env: the environment of the commands: PATH, and where the schedd is
    """
    for name, text in scenario.get("files", {}).items():
        (place / name).write_text(text)
        (place / name).chmod(0o755 if name.endswith(".sh") else 0o644)
    clusters: list[int] = []
    for step in scenario["steps"]:
        htcondor = read_expected(step)
        deadline = time.monotonic() + (PATIENCE if "until" in step else 0.0)
        while True:
            got = _run(step["run"], place, env, clusters)
            if got == htcondor or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        yield Comparison(
            step["run"],
            htcondor,
            got,
            replace(htcondor, **step.get("ours", {})),
            step.get("documented", ""),
        )


def _run(command: str, place: Path, env: Mapping[str, str], clusters: list[int]) -> Reply:
    """Run a step; a cluster that it submitted is added to ``clusters``."""
    names = {f"C{number}": str(cluster) for number, cluster in enumerate(clusters, 1)}
    done = subprocess.run(
        ["/bin/bash", "-c", command],
        cwd=place,
        env={**env, **names},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    cluster = find_cluster(done.stdout)
    if cluster is not None and cluster not in clusters:
        clusters.append(cluster)
    user = getpass.getuser()
    return Reply(
        done.returncode,
        normalise(done.stdout, clusters, user),
        normalise(done.stderr, clusters, user),
    )
