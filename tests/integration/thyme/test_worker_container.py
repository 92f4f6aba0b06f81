"""A worker as the first process of a pilot's container, with the two capabilities that it needs.

The pilot is what Plancton's Docker engine makes of its configuration; Python and the project are
the machine's own, bound into it.
"""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from plancton.model import PilotState
from tests.support.real_docker import DockerTest, bind_python
from tests.support.services.engines import DockerService
from tests.support.waiting import wait_until
from tests.support.worker_program import WorkerSite, shell
from thyme.protocol.events import Evicted, Finished
from thyme.worker.users import FIRST_UID

pytestmark = pytest.mark.root
ROOT = Path(__file__).parents[3]
#: Bytes that the pilot has: the worker takes a third of it.
MEMORY = 64_000_000


class Site(WorkerSite):
    def __init__(self, bench: DockerTest) -> None:
        # not pytest's directory: a container's root without capabilities must be able to pass
        super().__init__(Path(tempfile.mkdtemp(prefix="thyme-container-")))
        self.bench = bench

    def start_pilot(self, *options: str) -> str:
        # nobody but root sees what is below a directory like /root: jobs need none of it
        command = [
            sys.executable, "-m", "thyme.worker.cli", f"--url={self.url}", "--workdir=/tmp",
            *options,
        ]  # fmt: skip
        return self.bench.start(
            *command, binds=(*bind_python(), f"{self.path}:{self.path}:rw"), max_dock_mem=MEMORY,
            environment={"PYTHONPATH": str(ROOT)}, capabilities=("SETUID", "SETGID"),
        )  # fmt: skip

    def wait_for_end(self, name: str) -> tuple[int | None, str]:
        ended = self.bench.until(name, PilotState.EXITED)
        return ended.exit_code, self.bench.client.logs(name).decode()

    def close(self) -> None:
        self.bench.clean()
        super().close()
        shutil.rmtree(self.path)


@pytest.fixture
def site(docker_service: DockerService, cgroup_name: str) -> Iterator[Site]:
    made = Site(DockerTest(docker_service, cgroup_name))
    yield made
    made.close()


def test_two_capabilities_are_enough_for_a_pilots_worker(site: Site) -> None:
    site.submit(
        shell(
            "(sleep 0.1 & exec true); (setsid sleep 600 &)\n"
            "mkdir shut; touch shut/in out; chmod 0 shut\n"
            "id -u; grep -E 'CapPrm|NoNewPrivs' /proc/self/status; ls ..; exit 3"
        )
    )

    name = site.start_pilot()

    assert site.wait_for_end(name) == (0, "")
    finished = site.told()[-1]
    assert isinstance(finished, Finished)
    assert finished.exit_code == 3
    words = finished.stdout.decode().split()
    assert words == [str(FIRST_UID), "CapPrm:", "0" * 16, "NoNewPrivs:", "1"]
    assert b"Permission denied" in finished.stderr
    assert [file.name for file in finished.files] == ["out"]


def test_the_first_process_of_a_container_buries_the_dead_and_heeds_sigterm(site: Site) -> None:
    site.submit(
        shell(
            "(sleep 0.2 & exec true); trap 'exit 5' TERM; echo $$ > up; echo up\n"
            "while :; do sleep 0.1; done"
        )
    )
    name = site.start_pilot("--heartbeat=0.5")
    pilot = site.bench.until(name, PilotState.RUNNING)
    pid = int(site.bench.client.inspect_container(pilot.name)["State"]["Pid"])

    def children() -> dict[str, str]:
        states = {}
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with contextlib.suppress(OSError):  # it ended meanwhile
                stat = Path(f"/proc/{child}/stat").read_text()
                states[child] = stat.rpartition(")")[2].split()[0]
        return states

    wait_until(lambda: "S" in children().values(), "the job to be up", state=children)
    wait_until(lambda: len(children()) == 1, "its orphan to be buried", state=children)
    site.bench.client.kill(name, "SIGTERM")

    assert site.wait_for_end(name)[0] == 143
    evicted = site.told()[-1]
    assert isinstance(evicted, Evicted)
    assert evicted.reason == "evicted with its pilot"


def test_a_job_over_the_memory_of_its_pilot_is_held_for_it(site: Site) -> None:
    site.submit(shell("echo before; x=$(yes | head -c 100000000); echo after"))

    name = site.start_pilot()

    assert site.wait_for_end(name) == (0, "")
    finished = site.told()[-1]
    assert isinstance(finished, Finished)
    assert (finished.exit_code, finished.signal, finished.stdout) == (None, 9, b"before\n")
    assert finished.hold is not None
    assert (finished.hold.code, finished.hold.subcode) == (34, 102)
    assert "Job has gone over cgroup memory limit of 61 megabytes. Last " in finished.hold.text
    assert finished.hold.text.endswith("Consider resubmitting with a higher request_memory.")
