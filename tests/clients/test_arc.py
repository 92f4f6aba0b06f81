"""ARC's HTCondor back end: its own scripts submit, scan and cancel; what its provider reads."""

import re
from pathlib import Path

import pytest

from tests.clients.pool import WAIT, Pool
from tests.support.process_site import PROGRAMS, submit_text
from tests.support.waiting import wait_until


def test_arcs_information_provider_reads_jobs_and_machines(pool: Pool, place: Path) -> None:
    lines = ["executable = /bin/sleep", "transfer_executable = false", "arguments = 1000", "queue"]
    job = pool.ask("condor_submit", "-terse", stdin=submit_text(lines)).split(".")[0]
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


# --- Debian's own scripts ------------------------------------------------------------------------

ARC_CONF = """\
[common]
hostname = ce.example.org
[mapping]
unixmap = * nobody:nogroup all
[lrms]
lrms = condor
condor_bin_path = {commands}
condor_config = {place}/condor_config
[arex]
controldir = {place}/control
sessiondir = {place}/session
scratchdir = /tmp
shared_filesystem = no
[infosys]
[infosys/cluster]
[queue:long]
"""
GRAMI = """\
joboption_directory='{place}/session/{name}'
joboption_controldir='{place}/control'
joboption_arg_0='./run.sh'
joboption_stdin='/dev/null'
joboption_stdout='{place}/session/{name}/out'
joboption_stderr='{place}/session/{name}/err'
joboption_gridid='{name}'
joboption_queue='long'
joboption_count=1
joboption_memory=100
"""


def submit_with_arc(pool: Pool, place: Path, name: str, program: str) -> str:
    """Submit a job with submit-condor-job; return its cluster."""
    session = place / "session" / name
    session.mkdir()
    (session / "run.sh").write_text("#!/bin/sh\n" + program)
    (session / "run.sh").chmod(0o755)
    grami = place / f"control/job.{name}.grami"
    grami.write_text(GRAMI.format(place=place, name=name))
    command = f"/usr/share/arc/submit-condor-job --config {place}/arc.run {grami}"
    done = pool.call(command, place)
    found = re.search(r"^joboption_jobid=(\d+)\.", grami.read_text(), re.M)
    assert done.returncode == 0 and found is not None, done
    return found[1]


@pytest.mark.needs("arc")
def test_arcs_own_scripts_submit_scan_and_cancel(pool: Pool, place: Path) -> None:
    for name in ("control/processing", "session"):
        (place / name).mkdir(parents=True)
    (place / "condor_config").touch()
    (place / "arc.conf").write_text(ARC_CONF.format(place=place, commands=PROGRAMS))
    save = f"/usr/lib/arc/arcconfig-parser -c {place}/arc.conf --save -r {place}/arc.run"
    assert pool.call(save, place).returncode == 0

    ended = submit_with_arc(pool, place, "ended", "exit 3\n")
    pool.wait_until_gone(f"{ended}.0", status=4)
    (place / "control/processing/job.ended.status").write_text("INLRMS\n")
    (place / "control/job.ended.errors").touch()
    (place / "control/job.ended.local").write_text(
        f"sessiondir={place}/session/ended\nlocalid={ended}\n"
    )
    # it would sleep for a minute after it has looked
    (place / "bin").mkdir()
    (place / "bin/sleep").symlink_to("/bin/true")
    scan = f"/usr/share/arc/scan-condor-job --config {place}/arc.run {place}/control"
    done = pool.call(scan, place, env={"PATH": f"{place}/bin:{pool.env['PATH']}"})
    scanned = place / "control/job.ended.lrms_done"
    assert scanned.exists(), done
    assert scanned.read_text() == "3 Job failed with exit code 3\n"
    told = (place / "control/job.ended.errors").read_text()
    assert "ExitCode=3" in told and "LastRemoteHost=slot" in told and "RemoteWallClockTime=" in told

    running = submit_with_arc(pool, place, "running", "sleep 300\n")
    pool.wait_for(f"{running}.0", 2)
    cancel = f"/usr/share/arc/cancel-condor-job --config {place}/arc.run"
    assert pool.call(f"{cancel} {place}/control/job.running.grami", place).returncode == 0
    pool.wait_until_gone(f"{running}.0")
