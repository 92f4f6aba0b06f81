"""The real daemon's control of real containers: what is shown, a new engine, health, windows."""

from typing import Any

from tests.support.node_daemon import Node
from tests.support.real_docker import SLEEPS
from tests.support.services.engines import DockerService
from tests.support.waiting import wait_until


def containers(service: DockerService) -> set[str]:
    client = service.client
    try:
        return {one["Names"][0].strip("/") for one in client.containers()}
    finally:
        client.close()


def test_status_shows_each_container_with_its_image_and_health_is_good(
    node: Node, values: dict[str, Any]
) -> None:
    names = node.fill(**values, docker_cmd=[*SLEEPS])
    wait_until(
        lambda: all(p["memory_bytes"] is not None for p in node.published()["pilots"]),
        "the use of each",
        state=node.published,
    )
    told = node.ctl("status").stdout
    digest = node.published()["pilots"][0]["image"].removeprefix("sha256:")[:12]
    assert len(digest) == 12
    rows = [line for line in told.splitlines() if line.lstrip().startswith("plancton-worker-")]
    assert sorted(row.split()[0] for row in rows) == sorted(names)
    assert all(row.split()[1:3] == ["running", digest] for row in rows), told
    assert node.ctl("health").stdout == "healthy\n"
    assert "protection" in node.ctl("explain").stdout


def test_from_processes_to_containers_without_losing_a_pilot(
    node: Node, values: dict[str, Any], docker_service: DockerService
) -> None:
    processes = node.fill(main_sleep=0.2)
    node.configure(**values, docker_cmd=[*SLEEPS], max_docks=5)
    both = node.wait_for(5)
    assert {name: both.get(name) for name in processes} == processes
    assert containers(docker_service) == set(both) - set(processes)
    done = node.ctl("force-stop")
    assert done.returncode == 0, done.stderr
    assert containers(docker_service) == set()
    assert node.marked() == set()


def test_logs_shows_what_a_container_printed_also_after_it_was_removed(
    node: Node, values: dict[str, Any]
) -> None:
    script = "trap 'exit 143' TERM; echo hello; sleep 600 & wait"
    (name,) = node.fill(1, **{**values, "max_docks": 1, "docker_cmd": ["sh", "-c", script]})
    wait_until(lambda: node.ctl("logs", name).stdout == "hello\n", "the container's output")
    assert node.ctl("drain", "--deadline=0.1").returncode == 0
    wait_until(lambda: f"{name}  ended\n" in node.ctl("logs").stdout, "the kept output")
    assert node.ctl("logs", name).stdout == "hello\n"
