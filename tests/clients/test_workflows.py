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
    wait_until((place / "good/.exitcode").exists, "the exit file", timeout=WAIT, state=pool.said)
    assert (place / "good/.exitcode").read_text() == "0\n"
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


# --- Makeflow: cctools batch_job_condor.c --------------------------------------------------------

MAKEFLOW = """\
universe = vanilla
executable = condor.sh
arguments = {arguments}
transfer_input_files = condor.data, 
should_transfer_files = yes
when_to_transfer_output = on_exit
notification = never
copy_to_spool = true
transfer_executable = true
keep_claim_idle = 30
log = {log}
getenv = true
+JobMaxSuspendTime = 0
queue
"""  # noqa: W291 (a blank after the last comma, as it writes it)


def makeflow_log(text: str) -> dict[int, list[tuple[int, int | None]]]:
    """Cluster to (event, exit code or None), by its own sscanf."""
    found: dict[int, list[tuple[int, int | None]]] = {}
    lines = iter(text.splitlines())
    for line in lines:
        head = re.match(r"(\d+) \((\d+)\.(\d+)\.(\d+)\) (\d+)-(\d+)-(\d+) (\d+):(\d+):(\d+)", line)
        if head is None:
            continue
        code = None
        if int(head[1]) == 5:
            normal = re.match(r"\s*\((\d)\) Normal termination \(return value (\d+)\)", next(lines))
            code = int(normal[2]) if normal else -1
        found.setdefault(int(head[2]), []).append((int(head[1]), code))
    return found


def test_makeflow_knows_its_jobs_by_the_log_alone(pool: Pool, place: Path) -> None:
    executable(place / "condor.sh", 'cat condor.data; [ "$1" = long ] && sleep 1000; exit $1\n')
    (place / "condor.data").write_text("data\n")
    log = place / "condor.logfile"
    jobs = {}
    for arguments in ("0", "7", "long"):
        text = MAKEFLOW.format(arguments=arguments, log=log)
        (place / "condor.submit").write_text(text)
        done = pool.call("condor_submit condor.submit", place)
        found = re.search(r"(\d+) job\(s\) submitted to cluster (\d+)", done.stdout)
        assert found is not None, done
        assert found[1] == "1"
        jobs[arguments] = int(found[2])

    def ends(event: int, *names: str) -> bool:
        events = makeflow_log(log.read_text())
        return all(event in [kind for kind, _ in events.get(jobs[name], [])] for name in names)

    wait_until(lambda: ends(5, "0", "7"), "005 of two jobs", timeout=WAIT, state=log.read_text)
    wait_until(lambda: ends(1, "long"), "001 of the third", timeout=WAIT, state=log.read_text)
    events = makeflow_log(log.read_text())
    assert dict(events[jobs["0"]])[5] == 0
    assert dict(events[jobs["7"]])[5] == 7
    assert "alias=" not in log.read_text()
    assert pool.call(f"condor_rm {jobs['long']}", place).returncode == 0
    wait_until(lambda: ends(9, "long"), "009 of the third", timeout=WAIT, state=log.read_text)


REAL_MAKEFLOW = """\
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
    (place / "good.makeflow").write_text(REAL_MAKEFLOW)
    done = pool.call("timeout 100 makeflow -T condor good.makeflow", place)
    assert done.returncode == 0, done
    assert (place / "count.txt").read_text() == "2\n"

    (place / "bad.makeflow").write_text("never.txt: line.txt\n\techo no > other.txt; exit 7\n")
    done = pool.call("timeout 100 makeflow --retry-count=1 -T condor bad.makeflow", place)
    assert "failed with exit code 7" in done.stderr, done
