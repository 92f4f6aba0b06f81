"""Docker's faults lose no pilot and start none twice, and the daemon says what it sees.

Docker is stopped, restarted, hung and full, and its containers are taken away. Real Docker, real
daemon.
"""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.container_node import ContainerNode
from tests.support.few_threads import NO_THREAD, limit_threads
from tests.support.node_daemon import gone
from tests.support.services.engines import DockerService
from tests.support.services.fixtures import CGROUPS
from tests.support.waiting import wait_until

LIVE = "--live-restore"
#: A container runtime whose first start does not end.
_FIRST_START_HANGS = """\
#!/bin/sh
case " $* " in *" start "*)
    [ -e {begun} ] || {{ echo $$ > {begun}.new; mv {begun}.new {begun}; exec sleep 600; }}
esac
exec runc "$@"
"""


class DockerNode(ContainerNode):
    """A node on a Docker engine that the test may break."""

    def explained(self) -> str:
        return self.ctl("explain").stdout

    def containers(self) -> dict[str, str]:
        """Every pilot's container by its name, with its state, by the engine."""
        client = self.service.client
        try:
            found = client.containers(all=True, filters={"label": "plancton.node"})
        finally:
            client.close()
        return {one["Labels"]["plancton.pilot"]: one["State"] for one in found}

    def list_processes(self) -> set[int]:
        """Return the first processes of the pilots' containers, by their control groups."""
        groups = [*CGROUPS.glob(f"cpu/{self.cgroup}/*"), *CGROUPS.glob(f"{self.cgroup}/*")]
        files = [group / "cgroup.procs" for group in groups if group.is_dir()]
        return {min(map(int, pids)) for file in files if (pids := file.read_text().split())}

    def engine_problem(self) -> str:
        return str((self.published().get("engine") or {}).get("problem") or "")

    def wait_for_trouble(self) -> None:
        wait_until(self.engine_problem, "the daemon to notice", 60.0, self.log)

    def wait_for_an_answer(self) -> None:
        wait_until(lambda: not self.engine_problem(), "it to be seen again", 60.0, self.log)

    def kill_docker(self) -> None:
        os.kill(self.service.pid, signal.SIGKILL)
        self.service.programs[-1].process.wait()

    def started(self) -> int:
        return int(self.published()["counts"]["started"])


MakeNode = Callable[..., DockerNode]


@pytest.fixture
def make_node(
    tmp_path: Path, make_docker: Callable[..., DockerService], cgroup_name: str
) -> Iterator[MakeNode]:
    made: list[DockerNode] = []

    def make(*options: str, **what: Any) -> DockerNode:
        made.append(DockerNode(tmp_path, make_docker(*options, **what), cgroup_name))
        return made[-1]

    yield make
    for node in made:
        node.clean()


@pytest.mark.parametrize("how", ["stopped", "killed with -9"])
def test_docker_ended_and_started_again_loses_no_pilot_and_starts_none_twice(
    make_node: MakeNode, how: str
) -> None:
    node = make_node(LIVE)
    node.configure()
    daemon = node.nodaemon()
    before = node.wait_for(3)
    if how == "stopped":
        node.service.programs[-1].end()
    else:
        node.kill_docker()
    node.wait_for_trouble()
    assert node.published()["pilots"] is None, "unknown, which is not zero"
    assert "The engine does not answer: nothing is started or stopped" in node.explained()
    assert "no engine listens there" in node.explained()
    assert not any(gone(pid) for pid in before.values()), "pilots go on"
    node.service.start_dockerd()
    node.wait_for_an_answer()
    assert node.wait_for(3) == before, "the same pilots, the same processes"
    assert node.started() == 3
    assert daemon.poll() is None


def test_docker_restarted_without_live_restore_is_filled_again_and_not_over(
    make_node: MakeNode,
) -> None:
    node = make_node()
    before = node.fill()
    node.service.programs[-1].end()
    node.service.start_dockerd()
    node.wait_for_others(*before)
    wait_until(lambda: list(node.containers().values()) == ["running"] * 3, "only these",
               state=node.containers)  # fmt: skip
    assert node.started() == 6


@pytest.mark.skipif(not (CGROUPS / "pids").is_dir(), reason="no control group for processes")
def test_a_node_that_gives_the_daemon_no_thread_keeps_its_pilots_and_is_filled_later(
    make_node: MakeNode,
) -> None:
    node = make_node()
    node.configure(max_docks=1, breaker_backoff=0.1, breaker_backoff_max=0.5)
    daemon = node.nodaemon()
    before = node.wait_for(1)
    limit = CGROUPS / "pids" / node.cgroup.partition("/")[0] / "daemon"
    limit_threads(limit, daemon.pid)

    node.configure(max_docks=3, breaker_backoff=0.1, breaker_backoff_max=0.5)
    wait_until(lambda: f"not started: {NO_THREAD}" in node.log(), "a start", state=node.log)
    assert node.running() == before and daemon.poll() is None
    (limit / "pids.max").write_text("max")

    assert node.wait_for(3).items() >= before.items()
    assert "Traceback" not in node.log()


def test_what_a_docker_forgot_that_was_killed_during_a_start_is_ended(
    make_node: MakeNode, tmp_path: Path
) -> None:
    runtime, begun = tmp_path / "runtime", tmp_path / "begun"
    runtime.write_text(_FIRST_START_HANGS.format(begun=begun))
    runtime.chmod(0o755)
    node = make_node(f"--add-runtime=hangs={runtime}", "--default-runtime=hangs")
    node.configure(max_docks=1)
    node.nodaemon()
    wait_until(begun.exists, "the first start", state=node.log)
    ((name, state),) = node.containers().items()
    assert state == "created"
    (forgotten,) = node.list_processes()
    node.kill_docker()
    os.kill(int(begun.read_text()), signal.SIGKILL)
    assert not gone(forgotten)
    node.service.start_dockerd()
    ((other, pid),) = node.wait_for(1).items()
    assert other != name
    wait_until(lambda: node.list_processes() == {pid}, "only the pilot's", state=node.log)
    assert f"{name}: 1 processes that the engine had forgotten are killed" in node.log()


def test_a_daemon_that_begins_before_docker_waits_for_it(make_node: MakeNode) -> None:
    node = make_node()
    node.service.programs[-1].end()
    node.configure()
    node.nodaemon()
    node.wait_for_trouble()
    node.service.start_dockerd()
    node.wait_for(3)


def test_a_docker_that_hangs_is_reported_and_nothing_is_started_twice(make_node: MakeNode) -> None:
    node = make_node(LIVE)
    before = node.fill()
    node.service.programs[-1].stop()
    victim = min(before)
    os.kill(before[victim], signal.SIGKILL)  # there is something to replace meanwhile
    node.wait_for_trouble()
    assert "no answer in time" in node.explained()
    assert node.started() == 3
    node.service.programs[-1].signal(signal.SIGCONT)
    survivors = set(before) - {victim}
    # all of one look: before the next, a pilot may have come or gone
    wait_until(
        lambda: len(running := set(node.running())) == 3 and running > survivors,
        "the replacement",
        60.0,
        node.log,
    )
    wait_until(lambda: list(node.containers().values()) == ["running"] * 3, "three containers",
               state=node.containers)  # fmt: skip


def test_a_docker_that_hangs_while_pilots_start_ends_with_the_right_number(
    make_node: MakeNode,
) -> None:
    node = make_node(LIVE)
    node.configure(max_docks=8)
    node.nodaemon()
    wait_until(lambda: node.containers(), "the first container", state=node.log)
    node.service.programs[-1].stop()
    node.wait_for_trouble()
    node.service.programs[-1].signal(signal.SIGCONT)
    wait_until(lambda: len(node.running()) == 8, "eight pilots", 60.0, node.log)
    assert sorted(node.containers().values()) == ["running"] * 8


def test_containers_removed_under_our_feet_are_replaced(make_node: MakeNode) -> None:
    node = make_node()
    before = node.fill()
    client = node.service.client
    for name in before:
        client.remove_container(name, force=True)
    client.close()
    node.wait_for_others(*before)
    assert node.started() == 6


def test_a_full_disk_opens_the_breaker_with_the_reason_and_is_got_over(make_node: MakeNode) -> None:
    node = make_node(disk=40_000_000)
    assert node.service.disk is not None
    filler = node.service.disk / "filler"
    fill(filler)
    node.configure(breaker_backoff=0.5, breaker_backoff_max=0.5, breaker_failures=2)
    node.nodaemon()

    def breaker() -> dict[str, Any]:
        return node.published().get("breaker") or {}

    wait_until(lambda: breaker().get("state") == "open", "the breaker to open", state=node.log)
    assert "no space left on device" in breaker()["reason"]
    assert node.running() == {}
    filler.unlink()
    node.wait_for(3)


def test_a_daemon_killed_while_it_fills_leaves_no_pilot_behind_and_starts_none_twice(
    make_node: MakeNode,
) -> None:
    node = make_node()
    node.configure(max_docks=6)
    node.nodaemon()
    wait_until(lambda: len(node.containers()) >= 2, "some containers", state=node.log)
    node.kill()
    second = node.nodaemon()
    wait_until(
        lambda: node.published()["daemon"]["pid"] == second.pid
        and list(node.containers().values()).count("running")
        + list(node.containers().values()).count("created") == 6,
        "six pilots, those that were made and never started among them", 60.0, node.log,
    )  # fmt: skip
    assert len(node.containers()) == 6


def test_pilots_outlive_a_stop_and_force_stop_ends_them_without_a_daemon(
    make_node: MakeNode,
) -> None:
    node = make_node()
    before = node.fill()
    assert node.ctl("stop").returncode == 0
    assert set(node.containers()) == set(before)
    done = node.ctl("force-stop")
    assert (done.returncode, node.containers()) == (0, {}), done.stderr


def fill(path: Path) -> None:
    """Take what is left of the disk."""
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
