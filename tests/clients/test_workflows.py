"""Workflow systems that shell out: Nextflow, Cromwell and Makeflow, with their own lines."""

import re
from pathlib import Path

import pytest

from tests.clients.pool import WAIT, Pool
from tests.support.waiting import wait_until


def executable(path: Path, text: str) -> Path:
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


# --- Nextflow: nextflow/executor/CondorExecutor.groovy -----------------------------------------


def nextflow_states(text: str) -> dict[str, str]:
    """From the line that begins with `` ID `` on: first column to sixth."""
    found, begun = {}, False
    for line in text.splitlines():
        if line.startswith(" ID "):
            begun = True
        elif begun and not line.strip():
            break
        elif begun:
            columns = line.split()
            found[columns[0]] = columns[5]
    return found


def nextflow_submit(pool: Pool, work: Path, command: str) -> str:
    work.mkdir()
    executable(work / ".command.run", f"{command}\necho $? > .exitcode\n")
    (work / ".command.condor").write_text(
        "universe = vanilla\nexecutable = .command.run\nlog = .command.log\ngetenv = true\n"
        "request_memory = 100 MB\nrequest_disk = 10 MB\nperiodic_remove = "
        "(RemoteWallClockTime - CumulativeSuspensionTime) > 600\nqueue\n"
    )
    done = pool.call("condor_submit --terse .command.condor", work)
    assert done.returncode == 0, done
    return re.split(r"[ -]+", done.stdout)[0]


def test_nextflow_sees_its_tasks_and_finds_their_exit_files(pool: Pool, place: Path) -> None:
    good = nextflow_submit(pool, place / "good", "true")
    long = nextflow_submit(pool, place / "long", "sleep 1000")
    wait_until(
        lambda: nextflow_states(pool.call("condor_q -nobatch", place).stdout).get(long) == "R",
        "the long task to run",
        timeout=WAIT,
        state=pool.said,
    )
    # a task that is no longer listed has ended, and its exit file is in the work directory
    exit_file = place / "good/.exitcode"
    wait_until(
        lambda: exit_file.exists() and exit_file.read_text() == "0\n",
        "the exit file", timeout=WAIT, state=pool.said,
    )  # fmt: skip
    pool.wait_until_gone(good, 4)
    assert good not in nextflow_states(pool.call("condor_q -nobatch", place).stdout)
    assert pool.call(f"condor_rm {long}", place).returncode == 0
    pool.wait_until_gone(long)
    assert long not in nextflow_states(pool.call("condor_q -nobatch", place).stdout)


# --- Cromwell: its shipped HtCondor.conf ---------------------------------------------------------

CROMWELL = """\
executable={script}
request_memory=512.0
request_disk=256000.0
log_xml=true
leave_in_queue=true
requirements=
should_transfer_files=NO
Iwd={cwd}
error={cwd}/stderr.background
output={cwd}/stdout.background
log={cwd}/execution.log
queue
"""


def test_cromwell_submits_asks_whether_it_lives_and_kills(pool: Pool, place: Path) -> None:
    script = executable(place / "script", "pwd > here; sleep 1000\n")
    (place / "submitFile").write_text(CROMWELL.format(script=script, cwd=place))
    done = pool.call(f"chmod 755 {script}; condor_submit {place}/submitFile", place)
    found = re.search(r"(?sm).*cluster (\d+)..*", done.stdout)
    assert found is not None, done
    job = found[1]
    pool.wait_for(f"{job}.0", 2)
    wait_until((place / "here").exists, "the job in its Iwd", timeout=WAIT)
    assert pool.call(f"condor_q {job}", place).returncode == 0
    assert pool.attributes(f"{job}.0", "RequestMemory", "RequestDisk") == ["512", "256000"]
    assert pool.call(f"condor_rm {job}", place).returncode == 0
    # leave_in_queue: it stays, removed, until it is forced
    pool.wait_for(f"{job}.0", 3)
    assert pool.call(f"condor_q {job} -af JobStatus", place).stdout == "3\n"
    assert pool.call(f"condor_rm -forcex {job}", place).returncode == 0
    assert pool.call(f"condor_q {job} -af JobStatus", place).stdout == ""
    assert pool.call(f"condor_q {job}", place).returncode == 0


# --- Makeflow ------------------------------------------------------------------------------------

MAKEFLOW = """\
twice.txt: line.txt
\tcat line.txt line.txt > twice.txt

count.txt: twice.txt
\twc -l < twice.txt > count.txt
"""


@pytest.mark.needs("makeflow")
def test_makeflow_itself_runs_a_workflow_and_reads_how_a_step_failed(
    pool: Pool, place: Path
) -> None:
    (place / "line.txt").write_text("one line\n")
    (place / "good.makeflow").write_text(MAKEFLOW)
    done = pool.call("timeout 100 makeflow -T condor good.makeflow", place)
    assert done.returncode == 0, done
    assert (place / "count.txt").read_text() == "2\n"

    (place / "bad.makeflow").write_text("never.txt: line.txt\n\techo no > other.txt; exit 7\n")
    done = pool.call("timeout 100 makeflow --retry-count=1 -T condor bad.makeflow", place)
    assert "failed with exit code 7" in done.stderr, done
