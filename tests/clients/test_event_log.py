"""HTCondor's own reader of user logs, and condor_wait, on the logs that we write."""

import subprocess
from pathlib import Path

import htcondor2

from tests.clients.pool import WAIT, Pool
from tests.support.process_site import PROGRAMS
from tests.support.waiting import wait_until

ENDS = {htcondor2.JobEventType.JOB_TERMINATED, htcondor2.JobEventType.JOB_ABORTED}


def submit(pool: Pool, place: Path, *lines: str) -> str:
    text = "".join(line + "\n" for line in (*lines, "log = jobs.log", "queue"))
    done = pool.call("condor_submit -terse", place, stdin=text)
    assert done.returncode == 0, done
    return done.stdout.split()[0]


def test_htcondors_reader_follows_our_log_while_jobs_run(pool: Pool, place: Path) -> None:
    good = submit(pool, place, "cmd = /bin/sh", "arguments = \"-c 'exit 3'\"")
    long = submit(pool, place, "cmd = /bin/sleep", "arguments = 1000")

    seen: dict[str, list[object]] = {good: [], long: []}
    values: dict[str, object] = {}
    with htcondor2.JobEventLog(str(place / "jobs.log")) as log:
        # stop_after is a deadline: the reader waits for what is still to be written
        for event in log.events(stop_after=int(WAIT)):
            job = f"{event.cluster}.{event.proc}"
            if event.type == htcondor2.JobEventType.IMAGE_SIZE:
                continue
            seen[job].append(event.type)
            if event.type == htcondor2.JobEventType.EXECUTE and job == long:
                assert pool.call(f"condor_hold {long}", place).returncode == 0
            elif event.type == htcondor2.JobEventType.JOB_HELD:
                values["hold"] = (event["HoldReasonCode"], event["HoldReason"])
                assert pool.call(f"condor_rm {long}", place).returncode == 0
            elif event.type == htcondor2.JobEventType.JOB_TERMINATED:
                values["code"] = event["ReturnValue"]
            if all(ENDS & set(events) for events in seen.values()):
                break

    kinds = htcondor2.JobEventType
    text = (place / "jobs.log").read_text()
    assert seen[good] == [kinds.SUBMIT, kinds.EXECUTE, kinds.JOB_TERMINATED], text
    assert [one for one in seen[long] if one != kinds.JOB_EVICTED] == [
        kinds.SUBMIT,
        kinds.EXECUTE,
        kinds.JOB_HELD,
        kinds.JOB_ABORTED,
    ]
    assert values == {"code": 3, "hold": (1, f"via condor_hold (by user {pool.user})")}


def test_condor_wait_waits_until_the_jobs_are_done(pool: Pool, place: Path) -> None:
    gate = place / "gate"
    job = submit(
        pool, place, "cmd = /bin/sh", f"arguments = \"-c 'until [ -e {gate} ]; do sleep .1; done'\""
    )
    early = pool.call(f"condor_wait -wait 1 jobs.log {job}", place)
    assert (early.returncode, early.stdout) == (1, "Time expired.\n")

    waiting = subprocess.Popen(
        [PROGRAMS / "condor_wait", "jobs.log"], cwd=place, env=pool.env, text=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        gate.touch()
        out, _ = waiting.communicate(timeout=WAIT)
    finally:
        waiting.kill()
        waiting.wait()
    assert (waiting.returncode, out) == (0, "All jobs done.\n")
    # the log is written first
    wait_until(lambda: pool.status(job) == 4, "the job to be completed")
