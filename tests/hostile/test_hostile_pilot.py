"""Whatever the pilots of a root daemon do in their containers, the daemon and other pilots go on.

While each attack goes on, `planctonctl status` is timed, an honest pilot is started, and the one
that was there first is still the same.  No attacker ends when it is asked to.
"""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from docker.errors import NotFound

from tests.support.honest_user import ENOUGH, TIMES
from tests.support.node_daemon import Node
from tests.support.services.engines import IMAGE, DockerService
from tests.support.waiting import wait_until

pytestmark = pytest.mark.root

#: Ends when it is asked to; a first process is not ended by SIGTERM without a handler.
HONEST = "trap 'exit 143' TERM; sleep 600 & wait"
PROCESSES = 64
#: What Docker keeps of the output of a container.
OUTPUT = 10_000_000
#: Bytes of memory that the daemon may have.
MAX_RSS = 250 * 1024 * 1024


class Site:
    """A daemon with Docker, one honest pilot, and one each that fill the disk in their way."""

    def __init__(self, node: Node, service: DockerService, cgroup: str) -> None:
        self.node, self.service, self.client = node, service, service.client
        self.values: dict[str, Any] = {
            "engine": "docker", "docker_host": service.host, "docker_image": IMAGE,
            "networks": ["none"], "cgroup_parent": cgroup, "main_sleep": 0.2, "stop_grace": 1,
            "max_dock_mem": 20_000_000, "max_dock_disk": 20_000_000, "pids_limit": PROCESSES,
            "max_docks": 0, "breaker_backoff": 0.1, "breaker_backoff_max": 0.5,
        }  # fmt: skip
        node.configure(**self.values)
        self.daemon = node.nodaemon()
        self.first = self.start(HONEST)
        self.pid = node.running()[self.first]
        self.quiet = self.node.time_status()
        self.long_paths = self.start(
            "trap '' TERM; cd /tmp; head -c 30000000 /dev/zero > big\n"
            "while mkdir deeper && cd deeper; do :; done 2> /dev/null; sleep 600 & wait; wait"
        )
        self.full = self.start(
            "trap '' TERM; head -c 30000000 /dev/zero > /tmp/big; sleep 600 & wait; wait"
        )

    def start(self, script: str) -> str:
        """Start one pilot more; its name."""
        before = self.node.running()
        self.values["max_docks"] += 1
        self.values["docker_cmd"] = ["sh", "-c", script]
        self.node.configure(**self.values)

        def find_new() -> list[str]:
            new = [name for name in self.node.running() if name not in before]
            return [name for name in new if self.runs(name, script)]

        found = wait_until(find_new, "one pilot more", state=self.node.log)
        return found[0]

    def runs(self, name: str, script: str) -> bool:
        """Tell whether this is its command, and not that of a pilot in another one's place."""
        try:
            return bool(self.client.inspect_container(name)["Config"]["Cmd"][-1] == script)
        except NotFound:
            return False

    def kill(self, name: str) -> None:
        """Kill an attacker; the daemon starts an honest pilot in its place."""
        self.values["docker_cmd"] = ["sh", "-c", HONEST]
        self.node.configure(**self.values)
        self.client.kill(name)

    def check(self) -> None:
        """Check that the daemon answers, starts a pilot, and has remained small."""
        took = min(self.node.time_status() for _ in range(3))
        assert took <= max(ENOUGH, TIMES * self.quiet, TIMES * self.node.time_status())
        self.start(HONEST)
        assert self.node.running()[self.first] == self.pid
        assert self.daemon.poll() is None
        status = Path(f"/proc/{self.daemon.pid}/status").read_text()
        assert int(status.partition("VmHWM:")[2].split()[0]) * 1024 < MAX_RSS
        assert "Traceback" not in self.node.log()

    def run_inside(self, name: str, command: str) -> str:
        return self.service.run_inside(name, "sh", "-c", command)[1]

    def wait_for_output(self, name: str, text: str) -> str:
        """Wait until a pilot has printed this; all that it has printed."""

        def read() -> str:
            output: bytes = self.client.logs(name)
            return output.decode() if text.encode() in output else ""

        return wait_until(read, f"{text!r} of {name}", state=lambda: self.client.logs(name)[-500:])


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, docker_service: DockerService, cgroup_name: str
) -> Iterator[Site]:
    node = Node(tmp_path_factory.mktemp("node"))
    made = Site(node, docker_service, cgroup_name)
    yield made
    made.client.close()
    node.clean()  # ends all attackers
    docker_service.remove_containers()


def test_processes_without_end(site: Site) -> None:
    bomb = site.start("(while :; do sleep 600 & done) 2> /dev/null & exec sleep 600")
    wait_until(lambda: len(site.client.top(bomb)["Processes"]) >= PROCESSES - 1, "the limit")
    site.check()
    assert len(site.client.top(bomb)["Processes"]) <= PROCESSES
    site.kill(bomb)


def test_memory_and_file_systems_in_memory(site: Site) -> None:
    site.values["tmpfs"] = {"/scratch": "size=1g"}
    hungry = site.start(
        "trap '' TERM; sleep 3; for f in /scratch/f /dev/shm/f; do cat /dev/zero > $f & done\n"
        "exec tail -c 1000000000 /dev/zero"
    )
    site.values["tmpfs"] = {}
    site.check()

    def end() -> str:
        ended = {one["name"]: one["detail"] for one in site.node.published()["ended"]}
        return str(ended.get(hungry, ""))

    detail = wait_until(end, "it was killed", state=site.node.published)
    assert detail.startswith("killed for lack of memory")


def test_output_without_end(site: Site) -> None:
    talker = site.start("trap '' TERM; yes $(printf '\\033]0;mallory\\007')")
    log = site.service.directory / f"data/containers/{site.client.inspect_container(talker)['Id']}"
    seen: list[int] = []

    def is_cut() -> bool:
        seen.append(sum(path.stat().st_size for path in log.glob("*-json.log*")))
        return seen[-1] < max(seen)

    wait_until(is_cut, "Docker to cut its output", state=lambda: seen[-1])
    site.check()
    assert max(seen) < 2.5 * OUTPUT  # it writes on while it cuts
    shown = site.node.ctl("logs", talker).stdout
    assert "mallory" in shown and "\033" not in shown
    site.kill(talker)


def test_links_and_pipes_where_it_is_told_about_its_node(site: Site) -> None:
    at = "/plancton-pilot"
    attackers = {
        site.start(f"trap '' TERM; {attack}; echo done; sleep 600 & wait; wait"): attack
        for attack in (
            f"busybox rm -r {at}; busybox ln -s /etc {at}",
            f"busybox rm -r {at}; busybox ln -s ../../../../../../etc {at}",
            f"busybox rm -r {at}; busybox mkfifo {at}",
            f"cd {at}/machinefeatures && rm shutdowntime; mkdir shutdowntime && cd shutdowntime; "
            "i=0; while [ $i -lt 3000 ]; do : > $i; i=$((i+1)); done",
        )
    }
    for name in attackers:
        site.wait_for_output(name, "done")
    now = datetime.now(timezone.utc)
    site.values |= {
        "timezone": "UTC",
        "stops": [f"{now + timedelta(days=3):%Y-%m-%d} - {now + timedelta(days=5):%Y-%m-%d}"],
    }
    site.check()
    told = f"cat {at}/machinefeatures/shutdowntime"
    for name in (site.first, *attackers):
        wait_until(lambda name=name: site.run_inside(name, told).strip().isdigit(),
                   f"the new end in {name} ({attackers.get(name)})")  # fmt: skip
    assert not Path("/etc/machinefeatures").exists()
    for name in attackers:
        site.kill(name)


#: Prints what it could do of what no pilot may.
ESCAPE = r"""
try() { if "$@" > /dev/null 2>&1; then echo "could: $*"; fi; }
for path in /run/docker.sock /var/run/docker.sock /host /proc/1/root/host /dev/mem /dev/kmsg; do
  try test -e $path
done
for path in /proc/sysrq-trigger /proc/sys/kernel/core_pattern /proc/sys/vm/drop_caches \
    /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/pids/cgroup.procs /sys/kernel/uevent_helper; do
  [ -e $path ] && try sh -c "echo x > $path"
done
try head -c 1 /proc/kcore
try mount -t tmpfs none /tmp
try mount -t proc none /tmp
try busybox mknod /tmp/disk b 8 0
try busybox mknod /tmp/mem c 1 1
try busybox unshare -U true
try busybox chroot / true
try hostname mallory
try busybox swapoff -a
try busybox chown 1 /tmp
try busybox nice -n -5 true
try busybox insmod /nothing.ko
try kill -9 -1
try sh -c "echo -1000 > /proc/self/oom_score_adj"
try sh -c "ulimit -Hn 99999999"
busybox ls /proc | grep -c '^[0-9]'
echo over
"""


def test_no_way_out(site: Site) -> None:
    prisoner = site.start(f"trap '' TERM; {ESCAPE} sleep 600 & wait; wait")
    said = site.wait_for_output(prisoner, "over")
    count, _newline, rest = said.partition("\n")
    assert rest == "over\n" and int(count) < 10, said  # its own processes alone
    site.check()
    site.kill(prisoner)


def test_disks_filled_with_files_that_can_or_cannot_be_measured(site: Site) -> None:
    """The attackers that began first: one of them has paths too long for Docker."""
    why = {
        site.full: "it has written more than max_dock_disk",
        site.long_paths:
            "how much it has written for max_dock_disk could not be measured several times",
    }  # fmt: skip
    for name, reason in why.items():
        wait_until(
            lambda name=name, reason=reason: f"{name} is asked to end: {reason}" in site.node.log(),
            f"{name} to be asked to end", 120.0, state=site.node.log,
        )  # fmt: skip
        wait_until(lambda name=name: name not in site.node.running(), "it is killed")
    told = json.dumps(site.node.published())
    assert "max_dock_disk (0.02 GB)" in told
    site.check()
