"""The broker's file disappears under a running schedd: known, told, and nothing is made of it."""

import os

from tests.support.schedd_process import LiveSchedd
from tests.support.waiting import wait_until

JOBS = "executable = /bin/true\ntransfer_executable = false\n"


def test_a_broker_that_vanishes_is_told_of_and_found_again(schedd: LiveSchedd) -> None:
    schedd.start()
    schedd.submit(f"{JOBS}queue 2")
    away = schedd.broker.with_name("away")
    schedd.broker.rename(away)

    wait_until(
        lambda: schedd.run("condor_q").returncode == 1,
        "condor_q to say that it cannot be trusted",
        state=schedd.said,
    )
    plain = schedd.run("condor_q")
    assert "2 jobs; 0 completed" in plain.stdout
    assert plain.stderr.startswith("condor_q: warning: answered from the ledger")
    asked = schedd.run("condor_q", "-af", "JobStatus")
    assert (asked.stdout, asked.returncode) == ("1\n1\n", 0)
    refused = schedd.run("condor_submit", stdin=f"{JOBS}queue\n".encode())
    assert refused.returncode == 1
    assert "ERROR: the schedd is not ready" in refused.stderr
    removal = schedd.run("condor_rm", "1.0")
    assert removal.returncode == 1
    # no process may put an empty broker in its place
    assert not schedd.broker.exists()

    away.rename(schedd.broker)

    wait_until(
        lambda: schedd.run("condor_q").returncode == 0, "it to be found again", state=schedd.said
    )
    assert schedd.states() == {"1.0": 1, "1.1": 1}
    schedd.work()
    schedd.wait_for(j1_0=4, j1_1=4)
    assert "Traceback" not in schedd.said()


def test_a_released_job_is_not_run_without_the_input_that_it_lacked(schedd: LiveSchedd) -> None:
    schedd.start()
    schedd.submit(f"{JOBS}transfer_input_files = /nope/data\nqueue\n")
    assert schedd.states() == {"1.0": 5}

    released = schedd.run("condor_release", "1.0")

    assert released.stdout == "Job 1.0 released\n"
    schedd.wait_for(j1_0=5)
    reason = schedd.run("condor_q", "1.0", "-af", "HoldReasonCode", "HoldReason").stdout
    assert reason.startswith("13 ")
    assert "/nope/data" in reason
    assert "(put it there and release the job again)" in reason


def test_a_released_job_runs_with_the_input_that_is_there_now(schedd: LiveSchedd) -> None:
    schedd.start()
    (schedd.home / "first").write_text("one\n")
    schedd.submit(
        "executable = /bin/cat\ntransfer_executable = false\narguments = first late/second -\n"
        "transfer_input_files = first, late\ninput = in\noutput = out\nqueue\n"
    )
    assert schedd.states() == {"1.0": 5}
    (schedd.home / "late").mkdir()
    (schedd.home / "late/second").write_text("two\n")
    (schedd.home / "in").write_text("three\n")

    schedd.run("condor_release", "1.0")
    schedd.worker()

    schedd.wait_for(j1_0=4)
    assert (schedd.home / "out").read_text() == "one\ntwo\nthree\n"


def test_a_released_job_whose_input_is_too_large_now_is_held_again(schedd: LiveSchedd) -> None:
    schedd.start()
    half = 9 * 1024 * 1024
    (schedd.home / "first").write_bytes(os.urandom(half))
    schedd.submit(
        "executable = /bin/true\ntransfer_executable = false\n"
        "transfer_input_files = first, late\nqueue 2\n"
    )
    (schedd.home / "first").write_text("small\n")  # what was sent stays as it was
    (schedd.home / "late").write_bytes(os.urandom(half))

    released = schedd.run("condor_release", "1")

    assert released.stdout == "All jobs in cluster 1 have been released\n", released
    schedd.wait_for(j1_0=5, j1_1=5)
    reason = schedd.run("condor_q", "1.0", "-af", "HoldReasonCode", "HoldReason").stdout
    assert reason.startswith("13 "), reason
