"""ARC's HTCondor back end in its own bash, greps, awks and seds: submit, scan, info, cancel."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.clients.pool import WAIT, Pool
from tests.support.waiting import wait_until

#: submit-condor-job: the job's id out of condor_submit's output
SUBMIT = r"""
cd "$SESSION"
condor_submit condorjob.jdl 1>out 2>err
[ $? = 0 ] && [ -s out ] || exit 1
[ $(grep -c "submitted to cluster\s[0-9]\+" out) = 1 ] || exit 2
echo $(cat out) | grep cluster | awk '{print $8}' | sed 's/[\.]//g'
"""
#: scan-condor-job: what ended, out of the log and the history
SCAN = r"""
export _condor_CONDOR_Q_ONLY_MY_JOBS=false _condor_CONDOR_Q_DASH_BATCH_IS_DEFAULT=false
condor_q > queue || exit 1
grep -q 'All queues are empty' queue
sed -n 's/^[ ]*\([0-9][0-9]*\)\.[0-9][0-9]*[ ][ ]*.*/\1/p' queue
"""
#: what it reads of an ended job, the last occurrence of each attribute
HISTORY = r"""
condor_history -l -match 1 $ID > ad
for name in LastRemoteHost RemoteWallClockTime RemoteSysCpu RemoteUserCpu ImageSize ExitCode \
    ExitStatus JobStatus ExitSignal RemoveReason JobCurrentStartDate EnteredCurrentStatus; do
  sed -n "s/^$name *= *//p" ad | tail -1 | sed "s/^/$name=/"
done
"""
#: of the user log
LOG = r"""
sed -n 's/.*(return value \([0-9][0-9]*\)).*/code=\1/p' log | tail -1
sed -n 's/.*Job executing on host: *<\([^:>]*\).*/host=\1/p' log | tail -1
sed -n '/Total Remote Usage/s/.*Usr \([0-9]* [0-9:]*\).*/usr=\1/p' log | tail -1
"""
JDL = """\
Executable = condorjob.sh
Input = /dev/null
Log = {session}/log
Output = {session}.comment
Error = {session}.comment
+NordugridQueue = "long"
Requirements = (NumJobStarts == 0)
Priority = 3
request_cpus = 1
request_memory = 50
Periodic_remove = FALSE || RemoteWallClockTime > 3600
should_transfer_files = YES
When_to_transfer_output = ON_EXIT_OR_EVICT
Transfer_input_files = {session}
notification = Never
Queue
"""


def lines(pool: Pool, place: Path, script: str, **environment: str) -> list[str]:
    done = pool.call(script, place, env={"SESSION": str(place / "session"), **environment},
                     bash=True)  # fmt: skip
    assert done.returncode == 0, (done, pool.said())
    return done.stdout.splitlines()


@pytest.fixture
def submit(pool: Pool, place: Path):
    def submitted(command: str) -> str:
        session = place / "session"
        session.mkdir()
        (session / "condorjob.sh").write_text(f"#!/bin/sh\n{command}\n")
        (session / "condorjob.sh").chmod(0o755)
        (session / "condorjob.jdl").write_text(JDL.format(session=session))
        [job] = lines(pool, place, SUBMIT)
        assert re.fullmatch(r"\d+", job)
        return job

    return submitted


def test_arc_sees_its_job_through_to_its_exit_code(pool: Pool, place: Path, submit) -> None:
    job = submit("echo out; echo err >&2; exit 5")
    pool.wait_for(f"{job}.0", 4)

    assert job not in lines(pool, place, SCAN)
    said = dict(line.split("=", 1) for line in lines(pool, place, HISTORY, ID=job))
    assert said["ExitCode"] == "5"
    assert said["JobStatus"] == "4"
    assert said["LastRemoteHost"].startswith('"slot')
    assert float(said["RemoteWallClockTime"]) >= 0
    assert int(said["EnteredCurrentStatus"]) > 0
    log = dict(line.split("=", 1) for line in lines(pool, place / "session", LOG))
    assert log["code"] == "5"
    assert log["host"]
    assert re.fullmatch(r"\d \d\d:\d\d:\d\d", log["usr"])
    # both streams in one file, neither cut off by the other
    comment = (place / "session.comment").read_text()
    assert "out\n" in comment
    assert "err\n" in comment


def test_arc_scans_and_cancels_a_running_job(pool: Pool, place: Path, submit) -> None:
    job = submit("sleep 1000")
    assert job in lines(pool, place, SCAN)  # at once
    pool.wait_for(f"{job}.0", 2)
    assert job in lines(pool, place, SCAN)

    assert pool.call(f"condor_rm {job} 1>&2", place).returncode == 0
    pool.wait_until_gone(f"{job}.0")
    said = dict(line.split("=", 1) for line in lines(pool, place, HISTORY, ID=job))
    assert said["RemoveReason"] == f'"via condor_rm (by user {pool.user})"'
    assert job not in lines(pool, place, SCAN)


def test_arcs_information_provider_reads_jobs_and_machines(pool: Pool, place: Path, submit) -> None:
    job = submit("sleep 1000")
    pool.wait_for(f"{job}.0", 2)
    version = pool.call("condor_version", place).stdout
    assert re.search(r"\$CondorVersion:\s+(\S+)", version)

    names = ["ClusterId", "ProcId", "JobStatus", "CurrentHosts", "LastRemoteHost", "RemoteHost",
             "ImageSize", "RemoteWallClockTime", "RemoteUserCpu", "RemoteSysCpu",
             "JobTimeLimit", "JobCpuLimit"]  # fmt: skip
    forms = " ".join(f'-format "{name} = %V\\n" {name}' for name in names)
    asked = pool.call(
        f'condor_q {forms} -format "HoldReasonCode = %V\\n\\n" HoldReasonCode', place,
        env={"_condor_CONDOR_Q_ONLY_MY_JOBS": "false"},
    ).stdout  # fmt: skip
    blocks = [
        dict(re.findall(r"^(\w+) = (.*)$", block, re.MULTILINE))
        for block in asked.split("\n\n")
        if block.strip()
    ]
    [mine] = [block for block in blocks if block["ClusterId"] == job]
    assert mine["JobStatus"] == "2"
    assert mine["JobTimeLimit"] == "undefined"
    assert mine["HoldReasonCode"] == "undefined"
    assert mine["RemoteHost"].startswith('"slot')

    ask = (
        'condor_status -format "Name = %V\\n" Name -format "Machine = %V\\n" Machine '
        '-format "State = %V\\n" State -format "Cpus = %V\\n" Cpus '
        '-format "TotalCpus = %V\\n" TotalCpus -format "SlotType = %V\\n\\n" SlotType'
    )

    def cpus() -> dict[str, str]:
        """Of every slot, by its name."""
        text = pool.call(ask, place).stdout
        blocks = [one for one in text.split("\n\n") if one.strip()]
        found = [dict(re.findall(r"^(\w+) = (.*)$", one, re.MULTILINE)) for one in blocks]
        return {one["Name"]: one["Cpus"] for one in found}

    assert mine["RemoteHost"] in cpus()
    # a slot is known from the claim on, its machine from the first heartbeat
    wait_until(lambda: int_or_zero(cpus().get(mine["RemoteHost"], "")) >= 1, "its CPUs", WAIT, cpus)
    assert pool.call(f"condor_rm {job}", place).returncode == 0
    pool.wait_until_gone(f"{job}.0")


def int_or_zero(text: str) -> int:
    return int(text) if text.isdigit() else 0
