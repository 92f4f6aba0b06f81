"""Gateways in front of a batch system: BLAH, radical.saga, and the factories' own patterns."""

import re
from pathlib import Path

from tests.clients.pool import Pool

# --- BLAH: condor_submit.sh, condor_status.sh, condor_cancel.sh ----------------------------------

#: echoed through xargs: the quotes reach xargs, the two characters \n reach condor_q
_PARTS = [
    '-format "%d" ClusterId -format "," ALWAYS -format "%d" JobStatus -format "," ALWAYS',
    *(f'-format "%f" {name} -format "," ALWAYS' for name in ("RemoteSysCpu", "RemoteUserCpu")),
    *(f'-format "%f" {name} -format "," ALWAYS' for name in ("BytesSent", "BytesRecvd")),
    '-format "%f" RemoteWallClockTime -format "," ALWAYS',
    '-format "%d" ExitBySignal -format "," ALWAYS -format "%d" ExitCode -format "%d" ExitSignal',
    '-format "\\n" ALWAYS',
]
FORMAT = " ".join(_PARTS)


def blah(pool: Pool, place: Path, command: str) -> list[str]:
    done = pool.call(f"FORMAT='{FORMAT}'; {command}", place, bash=True)
    assert done.returncode == 0, (done, pool.said())
    return done.stdout.splitlines()


def blah_submit(pool: Pool, place: Path, command: str) -> str:
    script = place / "job.sh"
    script.write_text(f"#!/bin/sh\n{command}\n")
    script.chmod(0o755)
    (place / "blah.submit").write_text(
        f"universe = vanilla\nexecutable = {script}\noutput = out\nerror = err\n"
        f"log = {place}/log\nnotification = never\ncopy_to_spool = true\n"
        "should_transfer_files = YES\nwhen_to_transfer_output = ON_EXIT_OR_EVICT\n"
        "periodic_remove = (JobStatus == 5 && HoldReasonCode == 1001)\n"
        "leave_in_queue = JobStatus == 4 && (CompletionDate =?= UNDEFINED || CompletionDate == 0"
        " || ((CurrentTime - CompletionDate) < 1800))\nqueue 1\n"
    )
    asked = "full=$(condor_submit blah.submit); echo $full | awk '{print $8}' | tr -d '.'"
    return blah(pool, place, asked)[0]


def test_blah_reads_comma_lists_of_an_ended_job(pool: Pool, place: Path) -> None:
    job = blah_submit(pool, place, "exit 9")
    pool.wait_for(f"{job}.0", 4)
    # leave_in_queue keeps it for half an hour
    [line] = blah(pool, place, f"echo $FORMAT | xargs condor_q {job}")
    fields = line.split(",")
    assert (fields[0], fields[1], fields[-2], fields[-1]) == (job, "4", "0", "9")
    assert len(fields) == 9
    times_and_sent = [*fields[2:5], fields[6]]
    assert all(re.fullmatch(r"[0-9.]+", field) for field in times_and_sent), fields


def test_blah_holds_releases_and_removes(pool: Pool, place: Path) -> None:
    job = blah_submit(pool, place, "sleep 1000")
    for command, status in (("hold", 5), ("release", 2), ("rm", 3)):
        assert pool.call(f"condor_{command} {job}", place).returncode == 0
        pool.wait_for(f"{job}.0", status)


# --- radical.saga: adaptors/condor ---------------------------------------------------------------


def test_saga_finds_its_tools_and_reads_verbose_and_long_ads(pool: Pool, place: Path) -> None:
    tools = ["version", "submit", "q", "history", "vacate", "rm"]
    for tool in tools:
        assert pool.call(f"which condor_{tool}", place).returncode == 0, tool
    script = "executable = /bin/sleep\narguments = 1000\nlog = log\nqueue\n"
    (place / "saga.submit").write_text(script)
    done = pool.call("condor_submit -verbose saga.submit", place)
    found = re.search(r"^\*\* Proc (\S+):$", done.stdout, re.MULTILINE)
    assert found is not None, done
    job = found[1]
    pool.wait_for(job, 2)
    ask = f"condor_q -long {job} | grep -e '^JobStatus' -e '^ExitStatus' -e '^CompletionDate'"
    ad = dict(line.split(" = ") for line in pool.call(ask, place).stdout.splitlines())
    assert (ad["JobStatus"], ad["ExitStatus"]) == ("2", "0")
    short = pool.call(f"condor_q {job} -autoformat:, JobStatus ExitStatus", place).stdout
    assert short == "2, 0\n"
    assert pool.call(f"condor_rm {job}", place).returncode == 0
    pool.wait_until_gone(job)
    old = pool.call(f"condor_history -long -match 1 {job} | grep '^JobStatus'", place).stdout
    assert old == "JobStatus = 3\n"


# --- glideinWMS and harvester: their factories' patterns -----------------------------------------


def test_the_factories_patterns_find_count_and_cluster(pool: Pool, place: Path) -> None:
    pattern = r"^(\d+) job[(]s[)] submitted to cluster (\d+)\.$"
    (place / "job.sub").write_text("executable = /bin/true\nlog = log\nqueue 3\n")
    name = pool.ask("condor_status", "-schedd", "-af", "Name").strip()
    for options in (f"-name {name}", f"-single-cluster -name {name}"):
        done = pool.call(f"condor_submit {options} job.sub", place)
        found = [m for line in done.stdout.splitlines() if (m := re.match(pattern, line))]
        assert [match[1] for match in found] == ["3"], done
        cluster = found[0][2]
        xml = pool.call(f"condor_q -xml -attributes ClusterId,ProcId {cluster}", place).stdout
        gone = pool.call(f"condor_history -xml {cluster}", place).stdout
        ids = set(re.findall(r'<a n="ProcId"><i>(\d+)</i>', xml + gone))
        assert ids == {"0", "1", "2"}
        for proc in range(3):
            pool.wait_for(f"{cluster}.{proc}", 4)
