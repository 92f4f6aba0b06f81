"""``plancton-demo-ce`` as a program, on shell scripts that take jobs and run none."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

#: Takes what all dialects write; no job ever runs.
CONDOR_SUBMIT = r"""#!/bin/bash
[ -z "$REFUSE" ] || { echo "ERROR: $REFUSE" >&2; exit 1; }
id=$(($(cat "$POOL/last" 2>/dev/null || echo 0) + 1)); echo $id >"$POOL/last"
log=$(sed -n 's/^log *= *//p' "${1:-/dev/stdin}")
printf '000 (%03d.000.000) 2026-01-02 03:04:05 Job submitted from host: <x>\n...\n' $id >>"$log"
printf 'Submitting job(s).\n1 job(s) submitted to cluster %d.\n' $id
"""
CONDOR_STATUS = "#!/bin/sh\necho 0 0\n"
CONDOR_Q = r"""#!/bin/sh
case "$*" in
  *-totals*) echo "Total for all users: 0 jobs; 0 completed, 0 removed, 0 idle, 0 running,"\
    "0 held, 0 suspended";;
esac
"""


@pytest.fixture
def site(tmp_path):
    """Put the scripts on PATH; return what starts the CE with more environment."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in (
        ("condor_submit", CONDOR_SUBMIT),
        ("condor_status", CONDOR_STATUS),
        ("condor_q", CONDOR_Q),
    ):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    started = []

    def run(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "demo_ce", "--dir", tmp_path / "ce", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
            env={
                "PATH": f"{tools}:{os.environ['PATH']}",
                "POOL": str(tmp_path),
                "TMPDIR": str(tmp_path),
                **environment,
            },
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


QUICK = ("--agents=4", "--seconds=0", "--interval=0.05", "--patience=20")


def test_a_site_that_takes_no_agent_is_exit_code_3(site):
    ce = site(*QUICK[:-1], "--patience=0.5", REFUSE="the pool is full")

    told, errors = ce.communicate(timeout=60)

    assert ce.returncode == 3
    assert "condor_submit did not take agent 1 (exit code 1)" in told
    assert "ERROR: the pool is full" in errors
    assert errors.splitlines()[-1].startswith("plancton-demo-ce: the site took no agent")


def test_it_gives_up_when_agents_never_run(site):
    ce = site(*QUICK[:-1], "--patience=0.6")

    told, _ = ce.communicate(timeout=60)

    waits = "no change: 4 idle (`condor_q -better-analyze 1.0` says why) for 0 s; gives up at 0.6 s"
    assert waits in told

    assert ce.returncode == 1
    assert "agent 1 (1.0, alien): still idle" in told
    assert told.splitlines()[-1].startswith("still in the queue; remove them with: condor_rm 1.0")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_ce_lists_the_jobs_left_in_the_queue(site, tmp_path, number, code):
    ce = site(*QUICK)
    record = tmp_path / "ce" / "agents.jsonl"
    wait_until(
        lambda: record.exists() and len(record.read_text().splitlines()) == 4, "all are submitted"
    )

    ce.send_signal(number)
    told, _ = ce.communicate(timeout=60)

    assert ce.returncode == code
    assert told.splitlines()[-1] == (
        "still in the queue; remove them with: condor_rm 1.0 2.0 3.0 4.0"
    )
