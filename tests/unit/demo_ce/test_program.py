"""``plancton-demo-ce`` as a program, on a batch system of three small shell scripts."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from demo_ce.dialects import DIALECTS
from tests.support.waiting import wait_until

#: Runs each job at once and to its end; takes what all dialects write.
CONDOR_SUBMIT = r"""#!/bin/bash
[ -z "$REFUSE" ] || { echo "ERROR: $REFUSE" >&2; exit 1; }
id=$(($(cat "$POOL/last" 2>/dev/null || echo 0) + 1)); echo $id >"$POOL/last"
text=$(cat "${1:-/dev/stdin}")
value() { grep -m1 -E "^[[:space:]]*$1 *=" <<<"$text" | sed 's/^[^=]*= *//'; }
program=$(value '(cmd|executable)'); log=$(value log)
event() { printf '%03d (%03d.000.000) 2026-01-02 03:04:05 %s\n...\n' "$1" $id "$2" >>"$log"; }
event 0 "Job submitted from host: <127.0.0.1:0>"
if [ -z "$NEVER_RUN" ]; then
  event 1 "Job executing on host: <127.0.0.1:0>"
  grep -q use_x509userproxy <<<"$text" || unset X509_USER_PROXY
  CONDOR_ID=$id.0 "$program" >"$(value output)" 2>"$(value error)"; code=$?
  end="	(1) Normal termination (return value ${CODE:-$code})"
  [ $code -lt 128 ] || end="	(0) Abnormal termination (signal $((code - 128)))"
  event 5 "Job terminated."$'\n'"$end"
fi
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


def test_agents_of_every_dialect_complete(site, tmp_path):
    agents = f"--agents={len(DIALECTS)}"
    ce = site(*QUICK, agents, "--agent=3=exit:7", f"--ledger={tmp_path / 'ledger'}")

    told, errors = ce.communicate(timeout=60)

    assert ce.returncode == 0, told + errors
    assert told.splitlines()[-1].startswith(
        "6 of 6 agents submitted, 5 completed, 1 failed (1 exit 7), 0 removed, 0 held, 0 unfinished"
    )
    assert all(f"({name})" in told for name in DIALECTS)
    assert len((tmp_path / "ledger").read_text().splitlines()) == 2 * len(DIALECTS)
    assert oct((tmp_path / "ce" / "proxy").stat().st_mode)[-3:] == "600"


def test_a_site_that_reports_another_end_fails_the_commissioning(site):
    ce = site(*QUICK, "--dialect=alien", CODE="1")

    told, _ = ce.communicate(timeout=60)

    assert ce.returncode == 1
    assert "agent 1 (1.0, alien): ended with exit 1 instead of exit 0" in told


def test_a_site_that_takes_no_agent_is_exit_code_3(site):
    ce = site(*QUICK[:-1], "--patience=0.5", REFUSE="the pool is full")

    told, errors = ce.communicate(timeout=60)

    assert ce.returncode == 3
    assert "condor_submit did not take agent 1 (exit code 1)" in told
    assert "ERROR: the pool is full" in errors
    assert errors.splitlines()[-1].startswith("plancton-demo-ce: the site took no agent")


def test_it_gives_up_when_agents_never_run(site):
    ce = site(*QUICK[:-1], "--patience=0.6", NEVER_RUN="1")

    told, _ = ce.communicate(timeout=60)

    waits = "no change: 4 idle (`condor_q -better-analyze 1.0` says why) for 0 s; gives up at 0.6 s"
    assert waits in told

    assert ce.returncode == 1
    assert "agent 1 (1.0, alien): still idle" in told
    assert told.splitlines()[-1].startswith("still in the queue; remove them with: condor_rm 1.0")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_ce_lists_the_jobs_left_in_the_queue(site, tmp_path, number, code):
    ce = site(*QUICK, NEVER_RUN="1")
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
