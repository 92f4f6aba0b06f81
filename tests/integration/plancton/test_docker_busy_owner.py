"""An owner who takes every core of a real node with real containers."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from plancton.config.model import Config
from plancton.model import HostFacts
from plancton.simulation.node import NodeSetup, simulate
from plancton.simulation.owner import parse_shares
from plancton.simulation.queue import JobQueue, read_lengths, take_any
from tests.support.fake_node import GB
from tests.support.node_daemon import CONFIG, Node
from tests.support.real_docker import yield_to_all
from tests.support.services.fixtures import CGROUPS
from tests.support.waiting import wait_until


def need_cpu_idle(node: Node) -> None:
    if node.published()["protection"]["cpu"] != "idle":
        pytest.skip("this kernel has no cpu.idle")


def test_an_owner_who_takes_every_core_evicts_no_pilot_where_cpu_idle_protects_him(
    node: Node, values: dict[str, Any], cgroup_name: str
) -> None:
    burn = ["sh", "-c", "while :; do :; done"]
    config = {**values, "docker_cmd": burn, "cpus_per_dock": 1, "max_docks": 2}
    config |= {"grace_kill": 0.5, "stop_grace": 0}
    node.configure(**config)
    node.nodaemon()
    before = set(node.wait_for(2))
    need_cpu_idle(node)
    assert node.published()["protection"]["inside"], "the tests' groups are inside another one"
    with contextlib.ExitStack() as owner:
        owner.enter_context(yield_to_all(cgroup_name.partition("/")[0]))
        wait_until(lambda: not node.published()["protection"]["inside"], "all groups to come last")
        # Only now the CPU counts: pilots start here however busy this machine is.
        node.configure(**config, cpu_reserve=0)
        # not inside the tests' group: Linux 6.18 gives an idle group up to a third of the CPU that
        # it shares with a busy one, where both are inside an idle one
        for _ in range(os.cpu_count() or 1):
            busy = owner.enter_context(subprocess.Popen(burn))
            owner.callback(busy.kill)
        wait_until(
            lambda: node.published()["capacity"]["start"] == 0, "a busy owner", state=node.published
        )
        begun = time.monotonic()
        wait_until(lambda: node.published()["looked"] > begun + 3.0, "three seconds of passes")
        assert set(node.running()) == before, node.log()
        assert "running ones are kept" in node.ctl("explain").stdout
    assert "asked to end" not in node.log()


def test_the_kernel_knows_that_the_oldest_pilot_comes_first(
    node: Node, values: dict[str, Any], cgroup_name: str
) -> None:
    (oldest,) = node.fill(1, **values, docker_cmd=["sleep", "600"], max_docks=1)
    need_cpu_idle(node)
    with yield_to_all(cgroup_name.partition("/")[0]):
        node.configure(**values, docker_cmd=["sleep", "600"], max_docks=2)
        node.wait_for(2)
        _check_weights(node, cgroup_name, oldest)


def _check_weights(node: Node, cgroup_name: str, oldest: str) -> None:
    def weights() -> list[tuple[int, Path]]:
        """In the kernel's own unit, the largest first, each with its file."""
        parent = _find_cpu_groups() / cgroup_name.strip("/")
        # Docker may be slow to remove the group of a container that has ended
        found = [
            (int(path.read_text()), path)
            for name in ("*/cpu.weight", "*/cpu.shares")
            for path in parent.glob(name)
            if (path.parent / "cgroup.procs").read_text()
        ]
        return sorted(found, reverse=True)

    wait_until(
        lambda: [weight for weight, _ in weights()] in ([10_000, 10], [102_400, 102]),
        "weights",
        state=lambda: (weights(), node.log()),
    )
    (pid,) = (one["pid"] for one in node.published()["pilots"] if one["name"] == oldest)
    of_oldest = [
        line.rpartition(":")[2].strip()
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        if line.startswith("0::") or ":cpu," in line or ":cpu:" in line
    ]
    group = weights()[0][1].parent.name
    assert any(name.endswith(group) for name in of_oldest), of_oldest


def _find_cpu_groups() -> Path:
    """Return where this kernel's control groups for CPU time are."""
    return CGROUPS if (CGROUPS / "cgroup.controllers").exists() else CGROUPS / "cpu"


#: Seconds, and how much of each CPU the owner uses then: a few days in minutes.
OWNER = ((20, 0.0), (25, 0.5), (10, 1.0), (15, 0.1), (45, 1.0), (20, 0.25), (30, 0.0))
#: CPU seconds of a job, and seconds without CPU after which a pilot is given up.
BURN, SQUEEZE_LIMIT = 12, 20.0
#: Of the idle CPU, by which the node may differ from the simulation, beside one job: whether the
#: last one ends just before or just after the last look, or is given up.
TOLERANCE = 0.03
#: Uses CPU in the first part of each tenth of a second, as ``OWNER`` says.
_OWNER_PROGRAM = f"""
import time
begin = time.monotonic()
for seconds, share in {OWNER}:
    begin, end = begin + seconds, begin + seconds
    while (now := time.monotonic()) < end:
        until = now + 0.1 * share
        while time.monotonic() < until:
            pass
        time.sleep(0.1 * (1 - share))
"""


@pytest.mark.long
@pytest.mark.timeout(600)
def test_squeezed_jobs_finish_and_are_given_up_as_the_simulation_says(
    node: Node, values: dict[str, Any], cgroup_name: str
) -> None:
    """The simulation gets the owner as he was: others on this machine are a part of him."""
    ncpus = os.cpu_count() or 1
    # the soft limit of CPU time sends SIGXCPU
    job = f"trap 'exit 0' XCPU; trap 'exit 143' TERM; ulimit -S -t {BURN}; while :; do :; done"
    values |= {
        "docker_cmd": ["sh", "-c", job], "max_docks": ncpus, "main_sleep": 4, "stop_grace": 0,
        "squeeze_limit": SQUEEZE_LIMIT, "grace_spawn": 0,
    }  # fmt: skip
    node.configure(**{**values, "max_docks": 0})
    daemon = node.nodaemon()
    wait_until(lambda: node.published().get("protection"), "a look", state=node.log)
    need_cpu_idle(node)
    with contextlib.ExitStack() as around:
        around.enter_context(yield_to_all(cgroup_name.partition("/")[0]))
        wait_until(lambda: not node.published()["protection"]["inside"], "groups to come last")
        for _ in range(ncpus):
            owner = around.enter_context(subprocess.Popen([sys.executable, "-c", _OWNER_PROGRAM]))
            around.callback(owner.kill)
        node.configure(**values, cpu_reserve=0)
        daemon.send_signal(signal.SIGHUP)
        shares, seen = _watch(node, cgroup_name, ncpus, sum(seconds for seconds, _ in OWNER))
    log = node.log()

    facts = HostFacts("n", ncpus=ncpus, ram_bytes=64 * GB, swap_bytes=0)
    config = Config.model_validate({**CONFIG, **values, "cpu_reserve": 0})
    jobs = JobQueue(read_lengths(f"fixed:{BURN}"), 1, take_any, 1)
    spans = parse_shares(STEP, facts)(" ".join(f"{share:.1f}" for share in shares), "here")
    said = simulate(spans, NodeSetup(config, facts, jobs, True, 10**6))

    given_up = set(re.findall(r"(\S+) is asked to end: it got no CPU", log))
    done = set(re.findall(r"(\S+) ended: exit code 0", log))
    assert log.count("is asked to end") == len(given_up), log
    cpu = {name: one["cpu_seconds"] for name, one in seen.items()}
    real = {
        "finished": BURN * len(done),
        "under way": sum(cpu[name] for name in cpu.keys() - given_up - done),
        "thrown away": sum(cpu[name] for name in cpu.keys() & given_up),
    }
    simulated = {
        "finished": said.finished_cpu,
        "under way": said.running_cpu,
        "thrown away": said.thrown,
    }
    counts = (len(done), len(given_up), said.finished, said.evicted)
    print(f"idle {said.idle_cpu:.0f} s, {real}, {simulated}, {counts}")
    if said.finished < 5 or not said.evicted:
        pytest.skip(f"others used this machine: {counts}")
    allowed = BURN + TOLERANCE * said.idle_cpu
    assert all(abs(real[name] - simulated[name]) <= allowed for name in real), (real, simulated)
    assert sum(real.values()) == pytest.approx(sum(simulated.values()), rel=2 * TOLERANCE)
    assert abs(len(given_up) - said.evicted) <= 1, log


#: Seconds between two looks at the owner.
STEP = 0.5


def _watch(
    node: Node, cgroup_name: str, ncpus: int, seconds: float
) -> tuple[list[float], dict[str, dict[str, Any]]]:
    """Return the owner's share of the CPUs (%) in each STEP, and each pilot as last published."""
    usage = CGROUPS / "cpuacct" / cgroup_name / "cpuacct.usage"
    stat = CGROUPS / cgroup_name / "cpu.stat"

    def pilots_used() -> float:
        if usage.exists():
            return int(usage.read_text()) / 1e9
        # the engine makes the group for the first pilot
        return int(stat.read_text().split()[1]) / 1e6 if stat.exists() else 0.0

    def owner_used() -> float:
        """CPU seconds of all that is no pilot; a hypervisor's, too."""
        ticks = list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]))
        busy = sum(ticks) - ticks[3] - ticks[4]
        return busy / os.sysconf("SC_CLK_TCK") - pilots_used()

    seen: dict[str, dict[str, Any]] = {}
    shares = []
    begin = last = time.monotonic()
    before = owner_used()
    while last < begin + seconds:
        time.sleep(max(0.0, begin + (len(shares) + 1) * STEP - time.monotonic()))
        now, used = time.monotonic(), owner_used()
        share = 100 * (used - before) / (now - last) / ncpus
        # a late look covers several steps
        steps = max(1, round((now - begin) / STEP) - len(shares))
        shares += [min(100.0, max(0.0, share))] * steps
        last, before = now, used
        for pilot in node.published()["pilots"] or ():
            if pilot["state"] == "running" and pilot["cpu_seconds"] is not None:
                seen[pilot["name"]] = pilot
    return shares, seen
