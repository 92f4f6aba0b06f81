"""A submit directory on a file server that is gone stops its owner's jobs, and nothing else."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hung_mount import HungMount, hung_mount
from tests.support.schedd_parts import logged
from tests.support.schedd_process import LiveSchedd, thin
from tests.support.waiting import wait_until

pytestmark = pytest.mark.root
#: daemon and nobody
ALICE, BOB = 1, 65534


@pytest.fixture
def mount(top: Path) -> Iterator[HungMount]:
    with hung_mount(top / "mount") as made:
        yield made


@pytest.fixture
def schedd(top: Path, mount: HungMount) -> Iterator[LiveSchedd]:
    made = LiveSchedd(top / "schedd")
    made.home.chmod(0o777)
    made.start()
    yield made
    mount.answer()  # no signal ends a process that waits for FUSE
    made.close()


def description(log: Path, output: Path) -> str:
    return (
        "executable = /bin/sh\narguments = \"-c 'echo hello'\"\n"
        f"output = {output}\nlog = {log}\nqueue"
    )


def test_a_hung_file_server_stops_only_the_jobs_whose_files_it_has(
    schedd: LiveSchedd, mount: HungMount
) -> None:
    hers = description(mount.where / "log", mount.where / "out")
    his = description(schedd.home / "log", schedd.home / "out")
    mount.answer()  # condor_submit looks for the directory
    schedd.submit(hers, uid=ALICE)
    wait_until(lambda: b"000 (" in mount.content("log"), "her submit event is written")
    mount.hang()
    schedd.work()
    schedd.wait_for(j1_0=6)

    began = time.monotonic()
    schedd.submit(his, uid=BOB)
    schedd.work()
    schedd.wait_for(j2_0=4)
    took = time.monotonic() - began
    told = [line for line in logged(schedd.home / "log") if not line.startswith("006")]
    assert told == ["000 2.0", "001 2.0", "005 2.0"]  # 006: its size, if it ran for long enough
    assert (schedd.home / "out").read_text() == "hello\n"
    assert took < 60, "a schedd that serves nobody"

    said = schedd.run("condor_q", "1.0", "-af", "JobStatus", "ThymeWaitingFor", uid=BOB)
    assert said.stdout.startswith("6 " + str(mount.where)) and "has not answered for" in said.stdout
    assert said.stderr == ""
    own = schedd.run("condor_q", uid=ALICE)
    assert own.returncode == 0 and f"wait for the submit host's files: {mount.where}" in own.stderr
    waits = schedd.run("condor_q", "2.0", "-af", "ThymeWaitingFor")
    assert waits.stdout.strip() in ("", "undefined")

    mount.answer()
    schedd.wait_for(j1_0=4)
    assert mount.content("out") == b"hello\n"
    numbers = [line[:3] for line in mount.content("log").splitlines() if line[3:5] == b" ("]
    assert [number for number in numbers if number != b"006"] == [b"000", b"001", b"005"]
    assert schedd.run("condor_q", uid=ALICE).stderr == ""


def test_a_history_file_that_does_not_answer_keeps_no_query_waiting(
    schedd: LiveSchedd, mount: HungMount
) -> None:
    asking = subprocess.Popen(
        [*thin("condor_history"), "-file", str(mount.where / "history")],
        env={**os.environ, "THYME_SCHEDD_SOCKET": str(schedd.socket)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            assert schedd.run("condor_q", "-allusers").returncode == 0
        assert asking.poll() is None
    finally:
        asking.kill()
        asking.wait()
