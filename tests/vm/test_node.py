"""What the README promises of a node, on one as sites have them: systemd and control groups v2."""

import json
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.support.services import images
from tests.support.waiting import wait_until
from tests.vm.conftest import IMAGE, Node
from tests.vm.machine import BOOT_SECONDS, BUILD_SECONDS

#: What else is written while the power is cut.
_BUSY = """
cd /root; docker save -o image.tar "$(docker images -q | head -n 1)"
while :; do
    cp /etc/plancton/config.yaml new; mv new /etc/plancton/config.yaml; planctonctl reload
    docker load -i image.tar; date > loaded; sync loaded
done
"""
#: What each of two pilots holds, of 2 GB, while it computes: not every task waits for memory.
_HELD = 500_000_000
_HOLD = f"""
import signal
signal.signal(signal.SIGTERM, lambda *_: exit())
held = b"x" * {_HELD}
while True: pass
"""
#: Pilots run the node's own Python.
_HOLDING = {
    "docker_cmd": ["python3", "-c", _HOLD],
    "binds": ["/usr:/usr:ro", "/lib:/lib:ro", "/lib64:/lib64:ro"],
    "max_dock_mem": 600_000_000,
    "memory_stall": 10,
}
#: The owner takes 1.2 GB, 50 MB a second, and keeps them: more than is left beside two pilots.
_ALLOCATE = """
import time
held = []
for _ in range(24): held.append(b"x" * 50_000_000); time.sleep(1)
"""
#: The owner reads 800 MB again and again, from a slow disk unless they are in memory.
_READ = """
import mmap, os, random
file = os.open("/dev/vda", os.O_RDONLY)
data = mmap.mmap(file, 800_000_000, prot=mmap.PROT_READ)
while True: data[random.randrange(len(data))]
"""
pytestmark = pytest.mark.timeout(BUILD_SECONDS + 2 * BOOT_SECONDS + 600)


def test_pilots_are_in_the_slice_that_runs_only_when_nobody_else_wants_the_cpu(node: Node) -> None:
    for name in node.wait_for_pilots(2):
        pid = node.run(f"docker inspect -f '{{{{.State.Pid}}}}' {name}").strip()
        assert node.run(f"cat /proc/{pid}/cgroup").startswith("0::/plancton.slice/docker-")
    assert node.read_group("cpu.idle") == "1"
    protection = node.status()["protection"]
    assert (protection["cpu"], protection["inside"]) == ("idle", "")
    assert (protection["problems"], protection["changes"]) == ([], [])


def test_a_limit_holds_for_the_memory_of_all_pilots(node: Node) -> None:
    limit = int(node.read_group("memory.max"))
    ram = int(node.run("awk '/MemTotal/ {print $2}' /proc/meminfo")) * 1024
    assert limit == (ram - 500_000_000) // 4096 * 4096


@pytest.mark.parametrize(
    "command", ["daemon-reload", pytest.param("daemon-reexec", marks=pytest.mark.long)]
)
def test_systemd_keeps_the_protection_when_it_reads_its_units_again(
    node: Node, command: str
) -> None:
    # Without the daemon, which would set it back, and without the unit that the role installs.
    node.run("mv /etc/systemd/system/plancton.slice /root/; systemctl stop plancton")
    try:
        limit = node.read_group("memory.max")
        node.run(f"systemctl {command}")
        assert node.read_group("cpu.idle") == "1"
        assert node.read_group("memory.max") == limit
    finally:
        node.run("mv /root/plancton.slice /etc/systemd/system/; systemctl start plancton")
    node.wait_for_pilots(2)


def test_what_something_else_changed_is_set_back_and_told(node: Node) -> None:
    node.run("echo 0 > /sys/fs/cgroup/plancton.slice/cpu.idle")
    wait_until(lambda: node.read_group("cpu.idle") == "1", "the protection to be set back")
    wait_until(lambda: node.status()["protection"]["changes"], "the change to be told")
    assert (
        "something else set cpu.idle to 0 (at least 1x since the daemon started), and it was set "
        "back" in (node.run("planctonctl explain"))
    )


@pytest.mark.long
def test_a_missing_apparmor_parser_is_said_in_one_line_with_its_remedy(node: Node) -> None:
    # Docker loads its profile when it starts a container, unless it is loaded.
    node.run(
        "mv /usr/sbin/apparmor_parser /root/; systemctl stop docker.socket docker;"
        "printf docker-default > /sys/kernel/security/apparmor/.remove; systemctl start docker"
    )
    remedy = "install the package apparmor and restart the engine"
    try:
        wait_until(
            lambda: remedy in node.run("planctonctl explain"),
            "the remedy",
            timeout=120.0,
            state=node.said,
        )
        logged = node.run("journalctl -u plancton -o cat").splitlines()
        told = [line for line in logged if "AppArmor" in line]
        assert told, logged[-20:]
        assert all(remedy in line for line in told)
    finally:
        node.run("mv /root/apparmor_parser /usr/sbin/; systemctl restart docker; planctonctl retry")
    node.wait_for_pilots(2)


@pytest.mark.long
def test_podman_with_crun_runs_pilots_in_the_same_slice(node: Node) -> None:
    node.run("systemctl unmask podman.socket podman.service; systemctl start podman.socket")
    node.run(f"podman import - {IMAGE}", images.busybox())
    how = "{{.Host.OCIRuntime.Name}} {{.Host.CgroupManager}} {{.Host.CgroupsVersion}}"
    assert node.run(f"podman info --format '{how}'").split() == ["crun", "systemd", "v2"]
    node.configure(docker_host="unix:///run/podman/podman.sock")
    try:
        # They are counted until they end.
        node.end_pilots()
        for name in node.wait_for_pilots(2, "podman"):
            pid = node.run(f"podman inspect -f '{{{{.State.Pid}}}}' {name}").strip()
            group = node.run(f"cat /proc/{pid}/cgroup").strip()
            assert group.startswith("0::/plancton.slice/libpod-")
            limit = node.run(f"cat /sys/fs/cgroup{group.removeprefix('0::')}/memory.max")
            assert int(limit) == 50_000_000 // 4096 * 4096
        assert node.read_group("cpu.idle") == "1"
        assert node.status()["protection"]["problems"] == []
    finally:
        node.configure()
        node.end_pilots("podman")
        node.wait_for_pilots(2)
        node.run("systemctl stop podman.socket")


def _fill_memory(node: Node, reserve: int) -> None:
    """Wait until two pilots hold half of the memory; ``reserve``: the owner's, bytes."""
    node.configure(**_HOLDING, mem_reserve=reserve)
    node.end_pilots()
    wait_until(
        lambda: (node.status()["host"]["pilots_mem"] or 0) > 2 * _HELD,
        "pilots that hold memory",
        # they compute, each on one of two processors that are emulated
        timeout=900.0,
        state=node.said,
    )


def _read_pressure(node: Node) -> tuple[float, int]:
    """Return the share of time in which the owner waited for memory, percent, and the killed."""
    told = node.run(
        "cd /sys/fs/cgroup; grep -h full s*.slice/memory.pressure u*.slice/memory.pressure"
    )
    full = max(float(line.split("avg10=")[1].split()[0]) for line in told.splitlines())
    return full, int(node.run("grep -w oom_kill /proc/vmstat").split()[1])


def _list_evicted(node: Node) -> set[str]:
    """Return the names of the last pilots that gave their memory back."""
    ended = node.status()["ended"]
    return {one["name"] for one in ended if one["stop_reason"] == "memory is short"}


@pytest.fixture
def restored(node: Node) -> Iterator[Node]:
    """Give the node, which has its usual two pilots again afterwards."""
    yield node
    node.configure()
    node.end_pilots()
    node.wait_for_pilots(2)


@pytest.mark.long
def test_an_owner_who_takes_memory_gets_what_pilots_hold_and_nothing_is_killed(
    restored: Node,
) -> None:
    node = restored
    _fill_memory(node, 400_000_000)
    before, killed = _list_evicted(node), _read_pressure(node)[1]
    node.run(f"python3 -c {shlex.quote(_ALLOCATE)}", seconds=300.0)
    assert _list_evicted(node) - before
    assert _read_pressure(node)[1] == killed


@pytest.mark.long
def test_pilots_are_evicted_one_by_one_while_tasks_wait_for_memory(restored: Node) -> None:
    # What the owner reads counts as available memory: only the pressure tells that he waits.
    node = restored
    _fill_memory(node, 10_000_000)
    before, killed = _list_evicted(node), _read_pressure(node)[1]
    node.run(f"nohup python3 -c {shlex.quote(_READ)} > /dev/null 2>&1 & echo $! > /root/owner")
    try:
        wait_until(
            lambda: "Tasks waited for memory" in node.run("planctonctl explain"),
            "the wait for memory to be told",
            timeout=300.0,
            state=lambda: f"{_read_pressure(node)} {node.run('free -m')} {node.said()}",
        )
        wait_until(lambda: _list_evicted(node) - before, "an eviction", timeout=120.0)
        wait_until(lambda: _read_pressure(node)[0] < 10.0, "the owner to go on", timeout=120.0)
        assert _read_pressure(node)[1] == killed
    finally:
        node.run("kill $(cat /root/owner)")


@pytest.mark.long
def test_after_a_power_cut_the_daemon_comes_up_and_nothing_is_left_of_before(node: Node) -> None:
    # A daemon that ends writes down what it has learned.
    node.run("systemctl restart plancton")
    before = set(node.wait_for_pilots(2))
    # Two pilots go on, and others end and start all the time when it happens; the configuration
    # is written and read again and again, and an image is being loaded.
    node.configure(docker_cmd=["sleep", "1"], max_docks=4, main_sleep=0.5)
    wait_until(lambda: set(node.running()) - before, "new pilots", timeout=300.0)
    node.run(f"nohup sh -c {shlex.quote(_BUSY)} > /dev/null 2>&1 &")
    loaded = "test -e /root/loaded"
    wait_until(lambda: not node.machine.call(loaded).returncode, "an image", timeout=120.0)
    node.machine.cut_power()

    # The clock is a year ahead at the next start.
    year = datetime.now(UTC).year + 1
    node.machine.boot("-rtc", f"base={year}-12-01T12:00:00")
    assert node.run("date +%Y").strip() == str(year)
    wait_until(lambda: node.status().get("summary"), "the daemon", timeout=300.0)
    node.run("planctonctl health")
    files = node.run("ls /var/lib/plancton/*.json").split()
    assert files
    for file in files:
        json.loads(node.run(f"cat {file}"))
    node.configure()
    node.wait_for_pilots(2)
    everything = "docker ps -a --filter label=plancton.node --format '{{.Names}}'"
    wait_until(
        lambda: set(node.run(everything).split()) == set(node.running()),
        "no container of before",
        timeout=300.0,
        state=lambda: node.run("docker ps -a"),
    )
    assert node.read_group("cpu.idle") == "1"
    assert "Traceback" not in node.run("journalctl -u plancton -o cat")
