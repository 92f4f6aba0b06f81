"""Containers in odd states on real Docker: paused, never started, removed, restarted."""

import pytest

from plancton.engine.docker import engine
from plancton.engine.docker.engine import DockerEngine
from plancton.engine.pilot_spec import make_name
from plancton.model import PilotState
from tests.support.real_docker import SLEEPS, DockerTest
from tests.support.services.engines import IMAGE
from tests.support.services.fixtures import CGROUPS
from tests.support.waiting import wait_until


def test_a_paused_pilot_counts_and_can_be_ended(bench: DockerTest) -> None:
    name = bench.start_running()
    bench.client.pause(name)
    wait_until(lambda: bench.until(name, PilotState.RUNNING).detail == "paused", "paused")
    bench.engine.stop(name, 5.0)
    assert bench.until(name, PilotState.EXITED).exit_code == 143


def test_a_paused_pilot_can_be_killed(bench: DockerTest) -> None:
    name = bench.start_running()
    bench.client.pause(name)
    bench.engine.stop(name, 0.0)
    assert bench.until(name, PilotState.EXITED).exit_code == 137


def test_what_plancton_0_6_left_counts_can_be_ended_and_outlives_a_new_daemon(
    bench: DockerTest, caplog: pytest.LogCaptureFixture
) -> None:
    # as 0.6 made them: names, no labels; the second is somebody else's
    old, other = "plancton-worker-aB3dE5", "plancton-worker-zzzzzz"
    for name, host in ((old, "plancton-farm7-aB3dE5"), (other, "database")):
        body = {"Image": IMAGE, "Cmd": list(SLEEPS), "Hostname": host}
        bench.client.start(bench.client.create_container_from_config(body, name)["Id"])

    pilot = bench.until(old, PilotState.RUNNING)

    assert [one.name for one in bench.engine.list_pilots()] == [old]
    assert pilot.age is not None
    assert [one.getMessage() for one in caplog.records if "0.6" in one.getMessage()] == [
        f"containers of Plancton 0.6 count as pilots until they end: {old}"
    ]
    bench.engine.stop(old, 5.0)
    bench.until(old, PilotState.STOPPING, PilotState.EXITED)
    bench.engine.close()
    bench.engine = DockerEngine(bench.service.host, bench.cgroup, CGROUPS)
    ended = bench.until(old, PilotState.EXITED)
    assert (ended.asked_to_stop, ended.exit_code) == (True, 143)
    bench.engine.remove(old)
    wait_until(lambda: bench.engine.list_pilots() == (), "its removal")
    assert bench.client.inspect_container(other)["State"]["Running"]


def made_and_not_started(bench: DockerTest) -> str:
    """As a daemon leaves it that is killed between the two."""
    name = make_name()
    labels = {"plancton.node": "node1", "plancton.pilot": name}
    body = {"Image": IMAGE, "Cmd": list(SLEEPS), "Labels": labels}
    bench.client.create_container_from_config(body, name)
    return name


def test_what_was_made_and_never_started_is_left_alone_for_a_while(bench: DockerTest) -> None:
    name = made_and_not_started(bench)
    pilot = bench.look(name)
    assert pilot is not None and pilot.state is PilotState.STARTING


def test_what_was_made_and_never_started_is_then_cleared_away(
    bench: DockerTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = made_and_not_started(bench)
    bench.look(name)
    monkeypatch.setattr(engine, "CREATION_GRACE", 0.0)
    pilot = bench.until(name, PilotState.EXITED)
    assert (pilot.exit_code, pilot.age) == (None, None), "it says nothing about the node"
    bench.engine.remove(name)
    assert bench.engine.list_pilots() == ()


def test_a_pilot_that_is_removed_under_our_feet_is_gone_without_an_error(bench: DockerTest) -> None:
    name = bench.start_running()
    bench.client.remove_container(name, force=True)
    assert bench.engine.list_pilots() == ()
    bench.engine.stop(name, 1.0)
    bench.engine.remove(name)


def test_a_restarted_container_is_listed_with_its_new_process(bench: DockerTest) -> None:
    bench.engine.watch(lambda: None)
    name = bench.start()
    first = bench.until(name, PilotState.RUNNING).pid
    bench.client.restart(name, timeout=0)

    def seen() -> bool:
        now = bench.client.inspect_container(name)["State"]["Pid"]
        pilot = bench.look(name)
        return pilot is not None and pilot.pid == now != first

    wait_until(seen, "its new process", state=bench.engine.list_pilots)


@pytest.mark.parametrize("network", ["none", "host"])
def test_what_somebody_runs_from_a_copy_of_a_pilot_is_left_alone_and_a_renamed_pilot_is_one(
    bench: DockerTest, network: str
) -> None:
    name = bench.start_running(networks=(network,))
    copied = bench.client.commit(name, "localhost/copy", "1")["Id"]
    try:
        for container, command in (("lives", list(SLEEPS)), (f"{name}.ended", ["true"])):
            body = {"Image": copied, "Cmd": command, "HostConfig": {"NetworkMode": "none"}}
            bench.client.start(bench.client.create_container_from_config(body, container)["Id"])
        bench.client.rename(name, "bob")

        assert [one.name for one in bench.engine.list_pilots()] == [name]
        bench.engine.stop(name, 5.0)
        bench.until(name, PilotState.EXITED)
        bench.engine.remove(name)
        wait_until(
            lambda: bench.engine.list_pilots() == (), "no pilot", state=bench.engine.list_pilots
        )
        bench.engine.stop(name, 0.0)
        bench.engine.remove(name)

        assert bench.client.inspect_container("lives")["State"]["Running"]
        assert bench.client.inspect_container(f"{name}.ended")["State"]["ExitCode"] == 0
    finally:
        bench.service.remove_containers()
        bench.client.remove_image(copied, force=True)
