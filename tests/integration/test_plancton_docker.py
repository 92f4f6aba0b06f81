"""The Docker engine on real Docker: what a pilot may do, who is left alone, who comes first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from plancton import launch
from plancton.config import Config
from plancton.engine import docker_engine
from plancton.engine.docker_engine import DockerEngine
from plancton.errors import EngineError, EngineUnavailable
from plancton.launch import new_name
from plancton.model import Pilot, PilotState
from tests.plancton_fakes import FACTS
from tests.services.engines import IMAGE, DockerService
from tests.services.fixtures import CGROUPS
from tests.waiting import wait_until

SLEEPS = ("sh", "-c", "trap 'exit 143' TERM; sleep 600 & wait")
ROOT = Path(__file__).parents[2]
BUSY = ("sh", "-c", "while :; do :; done")
#: How a control group comes last, the best way first.
LAST = (("cpu.idle", "1"), ("cpu.shares", "2"), ("cpu.weight", "1"))


class Bench:
    """A DockerEngine, and what a test asks of the engine behind its back."""

    def __init__(self, service: DockerService, cgroup: str) -> None:
        self.service, self.cgroup = service, cgroup
        self.client = service.client
        self.engine = DockerEngine(service.host, cgroup, CGROUPS)

    def start(self, *command: str, **values: Any) -> str:
        values = {"networks": ("none",), **values}
        config = Config(docker_image=IMAGE, docker_cmd=command or SLEEPS, **values)
        self.engine.prepare(config, FACTS)
        spec = launch.spec(config, FACTS, new_name())
        self.engine.start(spec)
        return spec.name

    def look(self, name: str) -> Pilot | None:
        found = [pilot for pilot in self.engine.pilots() if pilot.name == name]
        return found[0] if found else None

    def until(self, name: str, *states: PilotState) -> Pilot:
        def reached() -> Pilot | None:
            pilot = self.look(name)
            return pilot if pilot is not None and pilot.state in states else None

        found = wait_until(reached, f"{name} {states}", timeout=90.0, state=self.engine.pilots)
        assert found is not None
        return found

    def run(self, script: str, **values: Any) -> tuple[int | None, str]:
        """The exit code and the output of a pilot that runs ``script``."""
        name = self.start("sh", "-c", script, **values)
        ended = self.until(name, PilotState.EXITED)
        try:
            output: bytes = self.client.logs(name)
        except Exception as error:  # it was never made
            return ended.exit_code, f"{ended.detail} ({type(error).__name__})"
        return ended.exit_code, output.decode()

    def clean(self) -> None:
        self.engine.close()
        self.service.remove_containers()
        self.client.close()


@pytest.fixture
def bench(docker_service: DockerService, cgroup_name: str) -> Iterator[Bench]:
    made = Bench(docker_service, cgroup_name)
    yield made
    made.clean()


# What a pilot may do


def test_by_default_a_pilot_has_no_capability_and_cannot_get_one(bench: Bench) -> None:
    code, output = bench.run("grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status")
    assert code == 0
    values = dict(line.split() for line in output.splitlines())
    assert set(values.values()) == {"0000000000000000", "1"}


def test_capabilities_that_are_asked_for_are_there(bench: Bench) -> None:
    _, output = bench.run("grep CapEff /proc/self/status", capabilities=("CHOWN",))
    assert int(output.split()[1], 16) == 1


def test_binds_are_read_only_unless_rw_is_written(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "seen").write_text("hello")
    binds = (f"{tmp_path}:/plain", f"{tmp_path}:/writable:rw")
    code, output = bench.run("cat /plain/seen; touch /writable/b; touch /plain/a", binds=binds)
    assert code != 0
    assert "hello" in output and "Read-only file system" in output
    assert {path.name for path in tmp_path.iterdir()} == {"seen", "b"}


def test_a_host_path_that_is_not_there_is_not_made_but_told(bench: Bench, tmp_path: Path) -> None:
    code, output = bench.run("true", binds=(f"{tmp_path}/missing:/x",))
    assert code is None
    assert "does not exist" in output
    assert not (tmp_path / "missing").exists()


def test_further_settings_reach_the_pilot(bench: Bench) -> None:
    # one stream: the engine copies stdout and stderr side by side, in no order
    script = (
        "exec 2>&1; id -u; hostname; echo $WHO; ulimit -n; grep /scratch /proc/mounts; "
        "touch /x; true"
    )
    code, output = bench.run(
        script,
        user_group="1234:1234",
        environment={"WHO": "{{ pilot }}"},
        ulimits={"nofile": "512:512"},
        tmpfs={"/scratch": "size=1m"},
        read_only=True,
        labels={"site": "{{ hostname }}"},
    )
    assert code == 0, output
    lines = output.splitlines()
    assert lines[0] == "1234"
    assert lines[1].startswith("plancton-node1-")
    assert lines[2].startswith("plancton-worker-")
    assert lines[3] == "512"
    assert "size=1024k" in output and "Read-only file system" in output


def test_the_limits_of_2017_hold(bench: Bench) -> None:
    name = bench.start(max_dock_mem=50_000_000, max_dock_swap=0, cpus_per_dock=0.5)
    bench.until(name, PilotState.RUNNING)
    made = bench.client.inspect_container(name)["HostConfig"]
    assert (made["Memory"], made["MemorySwap"]) == (50_000_000, 50_000_000)
    assert made["NanoCpus"] == 500_000_000
    assert made["OomScoreAdj"] == 1000


def test_a_pilot_that_takes_too_much_memory_ends_with_the_reason(bench: Bench) -> None:
    hungry = "head -c 60000000 /dev/zero | tail -c 60000000 > /dev/null; exit $?"
    name = bench.start("sh", "-c", hungry, max_dock_mem=20_000_000)
    pilot = bench.until(name, PilotState.EXITED)
    assert pilot.exit_code not in (0, None)
    assert pilot.detail.startswith("killed for lack of memory")


def test_init_passes_sigterm_on_to_a_command_that_has_no_handler(bench: Bench) -> None:
    if not bench.client.info().get("InitBinary") or not Path("/usr/bin/docker-init").exists():
        pytest.skip("this engine has no init")
    name = bench.start("sleep", "600", init=True)
    bench.until(name, PilotState.RUNNING)
    bench.engine.stop(name, 600.0)
    assert bench.until(name, PilotState.EXITED).exit_code == 143


def test_a_pilot_asked_to_end_before_it_can_hear_is_told_later(
    bench: Bench, tmp_path: Path
) -> None:
    # The kernel drops the SIGTERM of a first process without a handler, as each is at first.
    script = f"until [ -e /test/go ]; do sleep 0.05; done; {SLEEPS[2]}"
    name = bench.start("sh", "-c", script, binds=(f"{tmp_path}:/test",))
    bench.until(name, PilotState.RUNNING)
    bench.engine.stop(name, 600.0)
    assert bench.until(name, PilotState.STOPPING).asked_to_stop
    (tmp_path / "go").touch()
    assert bench.until(name, PilotState.EXITED).exit_code == 143


def test_a_pilot_joins_the_networks_that_are_named(bench: Bench) -> None:
    for network in ("plancton-a", "plancton-b"):
        bench.client.create_network(network, driver="bridge", internal=True)
    try:
        name = bench.start(networks=("plancton-a", "plancton-b"))
        bench.until(name, PilotState.RUNNING)
        joined = bench.client.inspect_container(name)["NetworkSettings"]["Networks"]
        assert set(joined) == {"plancton-a", "plancton-b"}
        bench.service.remove_containers()
    finally:
        for network in ("plancton-a", "plancton-b"):
            bench.client.remove_network(network)


# Who is left alone


def test_containers_of_others_are_never_touched(bench: Bench) -> None:
    name = "plancton-worker-abc123"  # as 2017 called them, without our label
    body = {"Image": IMAGE, "Cmd": list(SLEEPS), "HostConfig": {"NetworkMode": "none"}}
    other = bench.client.create_container_from_config(body, name)["Id"]
    bench.client.start(other)
    assert bench.engine.pilots() == ()
    bench.engine.stop(name, 0.0)
    bench.engine.stop(other, 0.0)
    bench.engine.remove(name)
    bench.engine.remove(other)
    bench.engine.close()
    assert bench.client.inspect_container(other)["State"]["Running"]


# Containers in odd states


def test_a_paused_pilot_counts_and_can_be_ended(bench: Bench) -> None:
    name = bench.start()
    bench.until(name, PilotState.RUNNING)
    bench.client.pause(name)
    wait_until(lambda: bench.until(name, PilotState.RUNNING).detail == "paused", "paused")
    bench.engine.stop(name, 5.0)
    assert bench.until(name, PilotState.EXITED).exit_code == 143


def test_a_paused_pilot_can_be_killed(bench: Bench) -> None:
    name = bench.start()
    bench.until(name, PilotState.RUNNING)
    bench.client.pause(name)
    bench.engine.stop(name, 0.0)
    assert bench.until(name, PilotState.EXITED).exit_code == 137


def made_and_not_started(bench: Bench) -> str:
    """As a daemon leaves it that is killed between the two."""
    name = new_name()
    labels = {"plancton.node": "node1", "plancton.pilot": name}
    body = {"Image": IMAGE, "Cmd": list(SLEEPS), "Labels": labels}
    bench.client.create_container_from_config(body, name)
    return name


def test_what_was_made_and_never_started_is_left_alone_for_a_while(bench: Bench) -> None:
    name = made_and_not_started(bench)
    pilot = bench.look(name)
    assert pilot is not None and pilot.state is PilotState.STARTING


def test_what_was_made_and_never_started_is_then_cleared_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = made_and_not_started(bench)
    bench.look(name)
    monkeypatch.setattr(docker_engine, "CREATION_GRACE", 0.0)
    pilot = bench.until(name, PilotState.EXITED)
    assert (pilot.exit_code, pilot.age) == (None, None), "it says nothing about the node"
    bench.engine.remove(name)
    assert bench.engine.pilots() == ()


def test_a_pilot_that_is_removed_under_our_feet_is_gone_without_an_error(bench: Bench) -> None:
    name = bench.start()
    bench.until(name, PilotState.RUNNING)
    bench.client.remove_container(name, force=True)
    assert bench.engine.pilots() == ()
    bench.engine.stop(name, 1.0)
    bench.engine.remove(name)


def test_a_pilot_that_somebody_restarts_is_seen_with_its_new_process(bench: Bench) -> None:
    bench.engine.watch(lambda: None)
    name = bench.start()
    first = bench.until(name, PilotState.RUNNING).pid
    bench.client.restart(name, timeout=0)

    def seen() -> bool:
        now = bench.client.inspect_container(name)["State"]["Pid"]
        pilot = bench.look(name)
        return pilot is not None and pilot.pid == now != first

    wait_until(seen, "its new process", state=bench.engine.pilots)


# The owner first


def test_pilots_live_in_one_group_that_runs_only_when_nobody_else_wants_the_cpu(
    bench: Bench, cgroup_name: str
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
    made = Bench(docker_service, cgroup_name)
    made.engine = DockerEngine(docker_service.host, cgroup_name, tmp_path / "nothing")
    try:
        name = made.start()
        made.until(name, PilotState.RUNNING)
        protection = made.engine.prepare(Config(docker_image=IMAGE), FACTS).protection
        assert protection is not None and "by eviction alone" in protection.sentence
        # Without the group the engine is asked for each container.
        busy = made.start(*BUSY)
        made.until(busy, PilotState.RUNNING)

        def used() -> float:
            made.engine.pilots()
            return made.engine.usage().pilots[busy].cpu_seconds

        first = wait_until(used, "its CPU time")
        wait_until(lambda: used() > first, "more CPU time")
    finally:
        made.clean()


def test_one_read_tells_what_pilots_use_and_it_never_counts_back(bench: Bench) -> None:
    name = bench.start(*BUSY)
    bench.until(name, PilotState.RUNNING)
    first = bench.engine.usage().cpu_seconds
    wait_until(lambda: bench.engine.usage().cpu_seconds > first + 0.2, "CPU time used")
    used = bench.engine.usage()
    assert used.pilots[name].cpu_seconds > 0.1
    assert used.memory_bytes is not None
    bench.engine.stop(name, 0.0)
    bench.until(name, PilotState.EXITED)
    bench.engine.remove(name)
    bench.engine.pilots()
    assert bench.engine.usage().cpu_seconds >= used.cpu_seconds


def test_a_pilot_in_another_group_is_counted_too(bench: Bench, cgroup_name: str) -> None:
    # As one that a daemon with another cgroup_parent started.
    other = DockerEngine(bench.service.host, f"{cgroup_name}/other", CGROUPS)
    config = Config(docker_image=IMAGE, docker_cmd=BUSY, networks=("none",))
    other.prepare(config, FACTS)
    name = new_name()
    other.start(launch.spec(config, FACTS, name))
    wait_until(lambda: not other._starts.busy(), "its start")
    other.close()
    bench.until(name, PilotState.RUNNING)
    wait_until(lambda: bench.engine.usage().pilots[name].cpu_seconds > 0.2, "its CPU time")


@contextmanager
def last(cgroup: str) -> Iterator[None]:
    """Meanwhile nothing in the group runs unless nobody on this machine wants the CPU."""
    top = CGROUPS if (CGROUPS / "cgroup.controllers").exists() else CGROUPS / "cpu"
    ways = [(top / cgroup / name, value) for name, value in LAST]
    place, value = next((place, value) for place, value in ways if place.exists())
    before = place.read_text()
    place.write_text(value)
    try:
        yield
    finally:
        place.write_text(before)


def test_killed_pilots_end_at_once_although_the_owner_uses_every_core(
    bench: Bench, cgroup_name: str
) -> None:
    # The kernel gives a process's memory back in the time of that process, and a group that
    # runs only when nobody else wants to has none: this took 24 s and more.
    hold = "(head -c 500m /dev/zero; exec sleep 600) | tail -c 500m"
    names = [bench.start("sh", "-c", hold, pilots_memory=0) for _ in range(3)]

    def held() -> int:
        bench.engine.pilots()
        return bench.engine.usage().memory_bytes or 0

    wait_until(lambda: held() > 1_500_000_000, "them to hold memory", 60.0, held)
    script = "while True: pass"
    owner = [
        subprocess.Popen([sys.executable, "-c", script]) for _ in range(8 * (os.cpu_count() or 1))
    ]
    try:
        with last(cgroup_name.partition("/")[0]):
            for name in names:
                bench.engine.stop(name, 0.0)
            wait_until(lambda: held() < 50_000_000, "the memory back", 20.0, held)
    finally:
        for process in owner:
            process.send_signal(signal.SIGKILL)
            process.wait()
    for name in names:
        assert bench.until(name, PilotState.EXITED).exit_code == 137


def test_plancton_in_a_container_protects_the_owner_all_the_same(
    bench: Bench, cgroup_name: str, tmp_path: Path
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
        return sum(pilot.state is PilotState.RUNNING for pilot in bench.engine.pilots())

    wait_until(
        lambda: running() == 2, "two pilots", 60.0, lambda: bench.client.logs(daemon).decode()
    )
    said = bench.client.logs(daemon).decode()
    assert "Control group /node/cgroup/" in said
    assert "only when nobody else wants it" in said or "with the lowest weight" in said
    for top in ("", "cpu/"):
        for idle in CGROUPS.glob(f"{top}{cgroup_name}/in/cpu.idle"):
            assert idle.read_text().strip() == "1"


# The engine itself


def test_an_engine_that_is_not_there_is_unavailable_with_one_clear_line(tmp_path: Path) -> None:
    engine = DockerEngine(f"unix://{tmp_path}/none.sock", "plancton", CGROUPS)
    with pytest.raises(EngineUnavailable, match="no engine listens there"):
        engine.pilots()
    with pytest.raises(EngineUnavailable):
        engine.prepare(Config(), FACTS)
    engine.close()


@pytest.mark.root
def test_a_socket_that_we_may_not_open_is_told_as_such(docker_service: DockerService) -> None:
    # Everything is imported before: another user may not read where this Python lies.
    code = (
        "import os, encodings.idna\n"
        "from plancton.engine.docker import DockerApi\n"
        "from plancton.errors import EngineError\n"
        "os.setgid(65534); os.setuid(65534)\n"
        f"try: DockerApi({docker_service.host!r}).facts()\n"
        "except EngineError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert "permission denied; run as root or as a member of its group" in done.stdout, done.stderr


def test_the_engine_refuses_to_remove_what_runs(bench: Bench) -> None:
    name = bench.start()
    bench.until(name, PilotState.RUNNING)
    with pytest.raises(EngineError, match="is running; stop it first"):
        bench.engine.remove(name)
