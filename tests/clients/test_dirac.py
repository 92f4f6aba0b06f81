"""DIRAC: its batch plug-in as it is, and its CE class's own commands: pilots, states, output."""

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest

from demo_ce.proxy import make_demo_credential, write_proxy
from tests.clients.pool import WAIT, Pool
from tests.support.waiting import wait_until


def test_dirac_submits_follows_and_kills_its_pilots(pool: Pool, python: Path, place: Path) -> None:
    got = json.loads(pool.script(python, "use_dirac.py", place))

    assert got["submitted"]["Status"] == 0
    good, bad, long = got["submitted"]["Jobs"]
    # DIRAC compares a number with a text here, so that a pilot that failed is Aborted, not Failed
    assert got["seen"]["Jobs"] == {good: "Done", bad: "Aborted", long: "Running"}
    assert got["counts"]["Running"] >= 1
    assert got["killed"] == {"Status": 0, "Successful": [long], "Failed": []}
    assert got["after"]["Jobs"][long] in ("Aborted", "Unknown")


# --- HTCondorCEComputingElement.py: a remote schedd's name on every command ----------------------

SUBMIT = """\
universe = vanilla
executable = {place}/pilot.sh
initialdir = {place}/results
output = $(Cluster).$(Process).out
error = $(Cluster).$(Process).err
log = $(Cluster).$(Process).log
transfer_output_files = ""
should_transfer_files = YES
when_to_transfer_output = ON_EXIT_OR_EVICT
environment = "DIRAC_PILOT_STAMP=$(stamp) HTCONDOR_JOBID=$(Cluster).$(Process)"
use_x509userproxy = true
request_cpus = 1
requirements = NumJobStarts == 0
kill_sig=SIGTERM
on_exit_hold = ExitCode =!= 0
on_exit_hold_subcode = 55
periodic_remove = ((JobStatus == 1) && (NumJobStarts > 0)) || \\
    ((JobStatus != 1) && (JobStatus != 2) && ((time() - EnteredCurrentStatus) > (1 * 24 * 3600)))
Queue stamp in good,bad
"""


def states(text: str) -> dict[str, tuple[int, list[str]]]:
    """As its _parseCondorStatus: the first line of a job decides; then hold code and subcode."""
    found: dict[str, tuple[int, list[str]]] = {}
    for line in text.splitlines():
        words = line.split()
        found.setdefault(words[0], (int(words[1]), words[2:4]))
    return found


@pytest.mark.parametrize("remote", [True, False])
def test_diracs_ce_class_submits_polls_and_fetches_the_output(
    pool: Pool, place: Path, remote: bool
) -> None:
    write_proxy(place / "proxy", make_demo_credential(datetime.now(timezone.utc)))
    (place / "results").mkdir()
    (place / "pilot.sh").write_text(
        "#!/bin/sh\necho $DIRAC_PILOT_STAMP $HTCONDOR_JOBID\n[ $DIRAC_PILOT_STAMP = good ]\n"
    )
    (place / "pilot.sh").chmod(0o755)
    (place / "pilot.sub").write_text(SUBMIT.format(place=place))
    env = {
        "X509_USER_PROXY": str(place / "proxy"),
        "_condor_SEC_CLIENT_AUTHENTICATION_METHODS": "GSI",
    }
    name = pool.ask("condor_status", "-schedd", "-af", "Name").strip()
    to_submit = f"-pool {name}:9619 -remote {name}" if remote else ""
    # a local schedd: the options are one empty word
    to_ask = f"-pool {name}:9619 -name {name}" if remote else "''"

    done = pool.call(f"condor_submit -terse {to_submit} pilot.sub", place, env=env)
    parts = [part.strip() for part in done.stdout.split("-")]
    assert len(parts) == 2, done
    cluster, last = parts[0].split(".")[0], int(parts[1].split(".")[1])
    good, bad = (f"{cluster}.{number}" for number in range(last + 1))
    what = "-af:j JobStatus HoldReasonCode HoldReasonSubCode HoldReason"

    def polled() -> dict[str, tuple[int, list[str]]]:
        texts = ""
        for command in ("condor_q", "condor_history"):
            asked = pool.call(f"{command} {to_ask} {good} {bad} {what}", place, env=env)
            assert asked.returncode == 0, asked
            texts += asked.stdout
        return states(texts)

    wait_until(
        lambda: {job: state for job, (state, _) in polled().items()} == {good: 4, bad: 5},
        "one done, one failed",
        timeout=WAIT,
        state=polled,
    )
    assert polled()[bad][1] == ["3", "55"]
    if remote:
        fetch = f"condor_transfer_data {to_ask} {good}"
        assert pool.call(fetch, place, env=env).returncode == 0
    assert (place / f"results/{good}.out").read_text() == f"good {good}\n"
    assert pool.call(f"condor_rm {to_ask} {bad}", place, env=env).returncode == 0
    pool.wait_for(bad, 3)
