"""The owner's protection on real Docker: control groups, usage, and the end of pilots."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from plancton.config.model import Config
from plancton.engine import pilot_spec
from plancton.engine.docker.engine import DockerEngine
from plancton.engine.pilot_spec import make_name
from plancton.model import PilotState
from tests.support.fake_node import FACTS
from tests.support.real_docker import BUSY, SLEEPS, DockerTest, yield_to_all
from tests.support.services.engines import IMAGE, DockerService
from tests.support.services.fixtures import CGROUPS
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[3]


def test_pilots_live_in_one_group_that_runs_only_when_nothing_else_wants_the_cpu(
    bench: DockerTest, cgroup_name: str
) -> None:
    if (CGROUPS / "cgroup.controllers").exists():
        directory = CGROUPS / cgroup_name
    else:
        directory = CGROUPS / "cpu" / cgroup_name
    name = bench.start()
    pid = bench.until(name, PilotState.RUNNING).pid
    assert f"/{cgroup_name}/" in Path(f"/proc/{pid}/cgroup").read_text()
    prepared = bench.engine.prepare(Config(docker_image=IMAGE), FACTS)
    assert prepared.protection is not None
    assert prepared.protection.problems == ()
    if (directory / "cpu.idle").exists():
        assert prepared.protection.cpu == "idle"
        assert (directory / "cpu.idle").read_text().strip() == "1"
    else:
        assert prepared.protection.cpu == "weight"


def test_a_host_that_refuses_the_protection_still_runs_pilots_and_says_so(
    docker_service: DockerService, cgroup_name: str, tmp_path: Path
) -> None:
    made = DockerTest(docker_service, cgroup_name)
    made.engine = DockerEngine(docker_service.host, cgroup_name, tmp_path / "nothing")
    try:
        made.start_running()
        protection = made.engine.prepare(Config(docker_image=IMAGE), FACTS).protection
        assert protection is not None and "by eviction alone" in protection.sentence
        # Without the group the engine is asked for each container.
        busy = made.start_running(*BUSY)

        def used() -> float:
            made.engine.list_pilots()
            return made.engine.read_usage().pilots[busy].cpu_seconds

        first = wait_until(used, "its CPU time")
        wait_until(lambda: used() > first, "more CPU time")
    finally:
        made.clean()


def test_one_read_gives_what_pilots_use_and_it_never_decreases(bench: DockerTest) -> None:
    name = bench.start_running(*BUSY)
    first = bench.engine.read_usage().cpu_seconds
    wait_until(lambda: bench.engine.read_usage().cpu_seconds > first + 0.2, "CPU time used")
    used = bench.engine.read_usage()
    assert used.pilots[name].cpu_seconds > 0.1
    assert used.memory_bytes is not None
    bench.engine.stop(name, 0.0)
    bench.until(name, PilotState.EXITED)
    bench.engine.remove(name)
    bench.engine.list_pilots()
    assert bench.engine.read_usage().cpu_seconds >= used.cpu_seconds


def test_a_pilot_in_another_group_is_counted_too(bench: DockerTest, cgroup_name: str) -> None:
    # As one that a daemon with another cgroup_parent started.
    other = DockerEngine(bench.service.host, f"{cgroup_name}/other", CGROUPS)
    config = Config(docker_image=IMAGE, docker_cmd=BUSY, networks=("none",))
    other.prepare(config, FACTS)
    name = make_name()
    other.start(pilot_spec.make_spec(config, FACTS, name))
    wait_until(lambda: not other._starts.busy(), "its start")
    other.close()
    bench.until(name, PilotState.RUNNING)
    wait_until(lambda: bench.engine.read_usage().pilots[name].cpu_seconds > 0.2, "its CPU time")


def test_killed_pilots_end_at_once_although_the_owner_uses_every_core(
    bench: DockerTest, cgroup_name: str
) -> None:
    # The kernel gives a process's memory back in the time of that process, and a group that
    # runs only when nobody else wants to has none: this took 24 s and more.
    hold = "(head -c 500m /dev/zero; exec sleep 600) | tail -c 500m"
    names = [bench.start("sh", "-c", hold, pilots_memory=0) for _ in range(3)]

    def held() -> int:
        bench.engine.list_pilots()
        return bench.engine.read_usage().memory_bytes or 0

    wait_until(lambda: held() > 1_500_000_000, "them to hold memory", 200.0, held)
    script = "while True: pass"
    owner = [
        subprocess.Popen([sys.executable, "-c", script]) for _ in range(8 * (os.cpu_count() or 1))
    ]
    try:
        with yield_to_all(cgroup_name.partition("/")[0]):
            for name in names:
                bench.engine.stop(name, 0.0)
            wait_until(lambda: held() < 50_000_000, "the memory back", 40.0, held)
    finally:
        for process in owner:
            process.send_signal(signal.SIGKILL)
            process.wait()
    for name in names:
        assert bench.until(name, PilotState.EXITED).exit_code == 137


def test_plancton_in_a_container_protects_the_owner_all_the_same(
    bench: DockerTest, cgroup_name: str, tmp_path: Path
) -> None:
    # As documented: the engine's socket, and the node's control groups at a place of their own.
    (tmp_path / "config.yaml").write_text(
        f"docker_host: unix:///engine.sock\ndocker_image: {IMAGE}\nnetworks: [none]\n"
        f"docker_cmd: [sh, -c, {SLEEPS[2]!r}]\nmax_docks: 2\ncpu_reserve: -100\n"
        f"max_dock_mem: 10000000\ncgroup_root: /node/cgroup\ncgroup_parent: {cgroup_name}/in\n"
    )
    code = {Path(sys.base_prefix), Path(sys.prefix), ROOT}
    places = {str(place): str(place) for place in code | {Path("/usr"), Path("/lib")}}
    places |= {place: place for place in ("/lib64",) if Path(place).exists()}
    body = {
        "Image": IMAGE,
        "Cmd": [sys.executable, "-m", "plancton", "nodaemon"],
        "Env": [f"PYTHONPATH={ROOT}", "PATH=/bin"],
        "HostConfig": {
            "NetworkMode": "none",
            "UTSMode": "host",
            "Binds": [
                *(f"{place}:{place}:ro" for place in places),
                f"{tmp_path}:/etc/plancton:ro",
                f"{bench.service.socket}:/engine.sock",
                f"{CGROUPS}:/node/cgroup:rw",
            ],
        },
    }
    daemon = bench.client.create_container_from_config(body)["Id"]
    bench.client.start(daemon)

    def running() -> int:
        return sum(pilot.state is PilotState.RUNNING for pilot in bench.engine.list_pilots())

    wait_until(
        lambda: running() == 2, "two pilots", 60.0, lambda: bench.client.logs(daemon).decode()
    )
    said = bench.client.logs(daemon).decode()
    assert "Control group /node/cgroup/" in said
    assert "only when nobody else wants it" in said or "with the lowest weight" in said
    for top in ("", "cpu/"):
        for idle in CGROUPS.glob(f"{top}{cgroup_name}/in/cpu.idle"):
            assert idle.read_text().strip() == "1"
