"""-spool, -remote and condor_transfer_data, and descriptions that take in other texts."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.schedd_process import LiveSchedd
from tests.support.waiting import wait_until

JOB = (
    "executable = /bin/sh\n"
    "arguments = \"-c 'cat in; echo $(Process) > made; echo bad >&2'\"\n"
    "transfer_input_files = in\noutput = out.$(Process)\nerror = err\n"
    'transfer_output_remaps = "made=made.$(Process)"\n'
)


@pytest.fixture
def schedd(tmp_path: Path) -> Iterator[LiveSchedd]:
    made = LiveSchedd(tmp_path)
    (made.home / "in").write_text("hello\n")
    made.start()
    yield made
    made.close()


def submitted(schedd: LiveSchedd, *options: str, text: str = f"{JOB}queue\n") -> None:
    done = schedd.run("condor_submit", "-terse", *options, stdin=text.encode())
    assert done.returncode == 0, done


def left(schedd: LiveSchedd) -> list[str]:
    return sorted(path.name for path in schedd.home.iterdir())


def test_spooled_output_waits_until_it_is_fetched(schedd: LiveSchedd) -> None:
    submitted(schedd, "-remote", schedd.name)
    said = schedd.run("condor_q", "-af", "JobStatus", "LastHoldReasonCode", "Cmd", "SUBMIT_Cmd")
    assert said.stdout.split() == ["1", "16", "sh", "/bin/sh"]
    schedd.work()
    schedd.wait_for(j1_0=4)
    assert left(schedd) == ["in"]

    done = schedd.run("condor_transfer_data", "-pool", "ce:9619", "-name", schedd.name, "1.0")

    assert (done.returncode, done.stdout, done.stderr) == (0, "Fetching data files...\n", "")
    assert left(schedd) == ["err", "in", "made.0", "out.0"]
    assert (schedd.home / "out.0").read_text() == "hello\n"
    assert (schedd.home / "err").read_text() == "bad\n"
    # it stays in the queue, as HTCondor's does, and can be fetched again
    assert schedd.run("condor_q", "-af", "JobStatus").stdout == "4\n"
    (schedd.home / "out.0").unlink()
    assert schedd.run("condor_transfer_data", "1").returncode == 0
    assert (schedd.home / "out.0").exists()
    assert schedd.run("condor_rm", "1.0").returncode == 0
    # as HTCondor's, for a job that is not there
    done = schedd.run("condor_transfer_data", "1.0")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Fetching data files...\n", "")


def test_a_job_that_waits_for_stage_out_leaves_when_its_output_was_fetched(
    schedd: LiveSchedd,
) -> None:
    leave = (
        "leave_in_queue = JobStatus == 4 && (StageOutFinish =?= undefined || StageOutFinish == 0)"
    )
    submitted(schedd, "-spool", text=f"{JOB}{leave}\nqueue\n")
    schedd.work()
    schedd.wait_for(j1_0=4)

    assert schedd.run("condor_transfer_data", "1.0").returncode == 0

    wait_until(lambda: not schedd.run("condor_q", "-af", "ProcId").stdout, "the job left")
    start, finish = schedd.run(
        "condor_history", "-af", "StageOutStart", "StageOutFinish"
    ).stdout.split()
    assert 0 < int(start) <= int(finish)


def test_spooled_output_outlives_the_schedds_disk(schedd: LiveSchedd) -> None:
    submitted(schedd, "-spool")
    schedd.work()
    schedd.wait_for(j1_0=4)
    schedd.kill()
    shutil.rmtree(schedd.spool)
    schedd.start()

    assert left(schedd) == ["in"]
    assert schedd.run("condor_transfer_data", "-all").returncode == 0
    assert (schedd.home / "out.0").read_text() == "hello\n"


def test_output_of_a_spooled_job_that_ended_held_can_be_fetched(schedd: LiveSchedd) -> None:
    submitted(schedd, "-spool", text=f"{JOB}on_exit_hold = true\nqueue\n")
    schedd.work()
    schedd.wait_for(j1_0=5)
    assert left(schedd) == ["in"]

    assert schedd.run("condor_transfer_data", "1.0").returncode == 0
    assert (schedd.home / "out.0").read_text() == "hello\n"


def test_every_way_of_naming_jobs_fetches_their_output(schedd: LiveSchedd) -> None:
    submitted(schedd, "-spool", text=f"{JOB}queue 2\n")
    schedd.work()
    schedd.wait_for(j1_0=4, j1_1=4)
    owner = schedd.run("condor_q", "1.0", "-af", "Owner").stdout.strip()

    for which in ("1", "-constraint ProcId<9", "-all", "-a", owner, "1.0 1.1 -addr <x>", "1.0 1"):
        done = schedd.run("condor_transfer_data", *which.split())
        assert done.returncode == 0, (which, done)
        for number in (0, 1):
            made = schedd.home / f"made.{number}"
            assert made.read_text() == f"{number}\n", which
            made.unlink()


def test_what_cannot_be_fetched_is_said(schedd: LiveSchedd) -> None:
    submitted(schedd)  # 1.0, not spooled
    submitted(schedd, "-spool")  # 2.0, not run yet
    failed = "ERROR: Failed to spool job files.\n"
    for argv, code, stderr in (
        (["1.0"], 0, ""),
        (["9.0"], 0, ""),
        (["2.0"], 0, "Job 2.0 has no output yet\n"),
        (["-all"], 0, "Job 2.0 has no output yet\n"),
        (["nobody-here"], 0, ""),
    ):  # fmt: skip
        done = schedd.run("condor_transfer_data", *argv)
        assert (done.returncode, done.stdout) == (code, "Fetching data files...\n"), argv
        assert done.stderr == stderr
    for bad in ([], ["-zzz"], ["-name"], ["-name", "other", "1"], ["-const", "(", "1"]):
        done = schedd.run("condor_transfer_data", *bad)
        assert (done.returncode, done.stdout) == (1, ""), bad
        assert done.stderr and "Traceback" not in done.stderr
    schedd.end()
    done = schedd.run("condor_transfer_data", "1.0")
    assert (done.returncode, done.stdout) == (1, "")
    assert failed in done.stderr and "start it, or name its socket" in done.stderr


def test_a_description_takes_in_what_condor_submit_itself_can_read(schedd: LiveSchedd) -> None:
    home = schedd.home
    (home / "common.sub").write_text('executable = /bin/true\n+Site = "$(site)"\n')
    for name in ("b.dat", "a.dat"):
        (home / name).write_text("")
    (home / "dir.dat").mkdir()
    submitted(
        schedd,
        text="site = here\ninclude : common.sub\ninclude command : echo word = $(site)ish\n"
        "arguments = $(f) $(word)\nqueue f matching files *.dat\n",
    )
    said = schedd.run("condor_q", "-af", "Args", "Site").stdout.splitlines()
    assert said == ["a.dat hereish here", "b.dat hereish here"]

    (home / "d.sub").write_text("executable = /bin/true\narguments = $(x)\nqueue x from -\n")
    done = schedd.run("condor_submit", "-terse", "d.sub", stdin=b"one\n# two\nthree\n")
    assert done.stdout == "2.0 - 2.2\n", done
    said = schedd.run("condor_q", "2", "-af", "Args").stdout
    assert said == "one\n# two\nthree\n"

    submitted(schedd, text="executable = /bin/true\narguments = $(x)\nqueue x from seq 3 |\n")
    assert schedd.run("condor_q", "3", "-af", "Args").stdout == "1\n2\n3\n"

    done = schedd.run(
        "condor_submit", stdin=b"executable = /bin/true\nqueue x from sh -c exit' '7 |\n"
    )
    assert done.returncode == 1
    assert "ERROR: on Line 2 of <stdin>: " in done.stderr
