"""The schedd, real workers and the condor commands on a real RabbitMQ."""

import os
import signal
from pathlib import Path

from tests.support.schedd_on_rabbitmq import (
    PATIENCE,
    SHELL,
    SLEEPER,
    Make,
    asked,
    lines,
    lives,
    pid_in,
    slots,
    until,
)

# --- the journey -----------------------------------------------------------------------------


def test_the_whole_journey(make: Make) -> None:
    live = make()
    live.start()
    assert asked(live, "condor_status") == ""
    worker = live.worker("--max-jobs", "0")
    until(lambda: slots(live) == ["Unclaimed"], "a waiting pilot to be a slot", live)
    cluster = live.submit(
        f"{SHELL}arguments = \"-c 'cat go; echo $0 done' $(ProcId)\"\n"
        "transfer_input_files = go\noutput = out.$(ProcId)\nlog = log\nqueue 3\n",
        cwd=_with(live.home, "go", "input\n"),
    )

    until(lambda: set(live.states().values()) == {4}, "all to be completed", live)

    assert cluster == 1
    outputs = [(live.home / f"out.{proc}").read_text() for proc in range(3)]
    assert outputs == [f"input\n{proc} done\n" for proc in range(3)]
    log = (live.home / "log").read_text()
    assert [log.count(f"{event} (001.") for event in ("000", "001", "005")] == [3, 3, 3]
    until(lambda: slots(live) == ["Unclaimed"], "the pilot to wait again", live)
    worker.send_signal(signal.SIGTERM)
    worker.wait(PATIENCE)
    until(lambda: slots(live) == [], "the pilot that has gone to be no slot any more", live)
    assert live.end() == 0
    assert "Traceback" not in live.said()


def _with(directory: Path, name: str, content: str) -> Path:
    (directory / name).write_text(content)
    return directory


def test_a_running_job_is_a_claimed_slot_and_its_usage_is_seen(make: Make) -> None:
    live = make()
    live.start()
    live.worker()
    live.submit(f"{SLEEPER}queue\n")
    pid_in(live.home / "pid")

    until(lambda: slots(live) == ["Claimed"], "the slot to be claimed", live)
    assert asked(live, "condor_status", "-claimed", "-af", "JobId", "Activity") == "1.0 Busy\n"
    memory = ("-const", "ResidentSetSize > 0", "-af", "MemoryUsage")
    until(lambda: asked(live, "condor_q", *memory), "its heartbeat to be seen", live)
    assert asked(live, "condor_status", "-af", "Cpus", "Arch", "OpSys").endswith(" LINUX\n")
    asked(live, "condor_rm", "1.0")
    until(lambda: live.states() == {"1.0": 3}, "it to be removed", live)


# --- orders to running jobs ------------------------------------------------------------------


def test_a_running_job_obeys_remove_hold_and_vacate(make: Make) -> None:
    live = make()
    live.start()
    for _ in range(2):
        live.worker("--max-jobs", "0")
    live.submit(f"{SLEEPER}queue\n")
    path = live.home / "pid"

    for number, command in enumerate(("condor_vacate_job", "condor_hold", "condor_rm")):
        runs = number + 1
        until(lambda: len(lines(path)) == runs, f"run {number} to begin", live)  # noqa: B023
        pid = int(lines(path)[-1])
        until(lambda: live.states() == {"1.0": 2}, "it to be seen running", live)
        asked(live, command, "1.0")
        until(lambda: not lives(pid), f"the job to be ended by {command}", live)  # noqa: B023
        if command == "condor_hold":
            until(
                lambda: asked(live, "condor_status", "-const", "JobId == \"1.0\"") == "",
                "its pilot to be free again", live,
            )  # fmt: skip
            assert live.states() == {"1.0": 5}
            asked(live, "condor_release", "1.0")

    until(lambda: live.states() == {"1.0": 3}, "it to be removed", live)
    assert len(lines(path)) == 3


def test_a_job_whose_worker_was_killed_runs_elsewhere_after_its_lease(make: Make) -> None:
    live = make()
    live.start()
    first = live.worker()
    live.submit(f"{SLEEPER}queue\n")
    pid = pid_in(live.home / "pid")
    until(lambda: live.states() == {"1.0": 2}, "it to be seen running", live)

    first.kill()
    first.wait()
    os.kill(pid, signal.SIGKILL)
    live.worker()

    until(lambda: len(lines(live.home / "pid")) == 2, "the next attempt", live)
    until(lambda: live.states() == {"1.0": 2}, "it to be seen running again", live)
    assert asked(live, "condor_q", "-af", "NumJobStarts", "NumShadowStarts") == "2 2\n"
    asked(live, "condor_rm", "1.0")
    until(lambda: live.states() == {"1.0": 3}, "it to be removed", live)
