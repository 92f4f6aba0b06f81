"""The Docker engine on real Docker: a pilot's rights, and containers that are not Plancton's."""

import subprocess
import sys
from pathlib import Path

import pytest

from plancton.config.model import Config
from plancton.engine.docker import api
from plancton.engine.docker.engine import DockerEngine
from plancton.errors import EngineUnavailable
from plancton.model import PilotState
from tests.support.fake_node import FACTS
from tests.support.real_docker import SLEEPS, DockerTest
from tests.support.services.engines import IMAGE, DockerService
from tests.support.services.fixtures import CGROUPS
from tests.support.waiting import wait_until


def test_by_default_a_pilot_has_no_capability_and_cannot_get_one(bench: DockerTest) -> None:
    code, output = bench.run("grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status")
    assert code == 0
    values = dict(line.split() for line in output.splitlines())
    assert set(values.values()) == {"0000000000000000", "1"}


def test_capabilities_that_are_asked_for_are_there(bench: DockerTest) -> None:
    _, output = bench.run("grep CapEff /proc/self/status", capabilities=("CHOWN",))
    assert int(output.split()[1], 16) == 1


def test_binds_are_read_only_unless_rw_is_written(bench: DockerTest, tmp_path: Path) -> None:
    (tmp_path / "seen").write_text("hello")
    binds = (f"{tmp_path}:/plain", f"{tmp_path}:/writable:rw")
    code, output = bench.run("cat /plain/seen; touch /writable/b; touch /plain/a", binds=binds)
    assert code != 0
    assert "hello" in output and "Read-only file system" in output
    assert {path.name for path in tmp_path.iterdir()} == {"seen", "b"}


def test_what_the_node_mounts_later_shows_in_a_pilot(bench: DockerTest, tmp_path: Path) -> None:
    """CVMFS is mounted when it is first used, maybe after the pilot began."""
    (tmp_path / "cvmfs/repository").mkdir(parents=True)
    own = tmp_path / "cvmfs"
    for words in (["mount", "--bind", own, own], ["mount", "--make-shared", own]):
        subprocess.run(words, check=True)
    try:
        name = bench.start_running(
            "sh", "-c", "until [ -e /cvmfs/repository/file ]; do sleep 0.1; done; exit 7",
            binds=(f"{own}:/cvmfs",),
        )  # fmt: skip
        subprocess.run(["mount", "-t", "tmpfs", "none", own / "repository"], check=True)
        (own / "repository/file").write_text("")
        assert bench.until(name, PilotState.EXITED).exit_code == 7
    finally:
        subprocess.run(["umount", "--recursive", "--lazy", own], check=True)


def test_a_bind_of_a_private_mount_is_private_and_that_is_said(
    bench: DockerTest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = tmp_path / "private"
    own.mkdir()
    (own / "seen").write_text("hello")
    for words in (["mount", "--bind", own, own], ["mount", "--make-private", own]):
        subprocess.run(words, check=True)
    try:
        code, output = bench.run("cat /x/seen", binds=(f"{own}:/x",))
        assert (code, output) == (0, "hello")
        assert any("does not show in pilots" in text for text in caplog.messages)
        code, output = bench.run("cat /x/seen", binds=(f"{own}:/x:rslave",))
        assert code is None and "not a shared or slave mount" in output
    finally:
        subprocess.run(["umount", own], check=True)


def test_a_pilot_makes_user_namespaces_only_where_the_configuration_allows_it(
    bench: DockerTest,
) -> None:
    script = "unshare -U -r -m sh -c 'mount -t tmpfs none /dev/shm && echo inside $(id -u)' 2>&1"
    code, output = bench.run(script, user_group="60600:60600")
    assert code != 0 and "inside" not in output
    code, output = bench.run(script, user_group="60600:60600", user_namespaces=True)
    assert (code, output) == (0, "inside 0\n")
    _, output = bench.run("grep Seccomp: /proc/self/status", user_namespaces=True)
    assert "Seccomp:\t2" in output, "a filter is in force"


def test_a_host_path_that_is_not_there_is_not_made_but_reported(
    bench: DockerTest, tmp_path: Path
) -> None:
    code, output = bench.run("true", binds=(f"{tmp_path}/missing:/x",))
    assert code is None
    assert "does not exist" in output
    assert not (tmp_path / "missing").exists()


def test_further_settings_reach_the_pilot(bench: DockerTest) -> None:
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


def test_the_limits_of_2017_hold(bench: DockerTest) -> None:
    name = bench.start_running(max_dock_mem=50_000_000, max_dock_swap=0, cpus_per_dock=0.5)
    made = bench.client.inspect_container(name)["HostConfig"]
    assert (made["Memory"], made["MemorySwap"]) == (50_000_000, 50_000_000)
    assert made["NanoCpus"] == 500_000_000
    assert made["OomScoreAdj"] == 900


def test_a_pilot_has_a_most_of_processes_of_its_own(bench: DockerTest) -> None:
    if not bench.client.info().get("PidsLimit"):
        pytest.skip("this engine's kernel has no limit of processes")
    many = "i=0; while [ $i -lt 30 ]; do sleep 60 & i=$((i+1)); done; exit 0"
    name = bench.start("sh", "-c", many, pids_limit=10)
    pilot = bench.until(name, PilotState.EXITED)
    assert pilot.exit_code == 2, "sh: Cannot fork"


def test_a_pilot_that_takes_too_much_memory_ends_with_the_reason(bench: DockerTest) -> None:
    hungry = "head -c 60000000 /dev/zero | tail -c 60000000 > /dev/null; exit $?"
    name = bench.start("sh", "-c", hungry, max_dock_mem=20_000_000)
    pilot = bench.until(name, PilotState.EXITED)
    assert pilot.exit_code not in (0, None)

    def is_told() -> bool:
        ended = bench.look(name)
        return ended is not None and ended.detail.startswith("killed for lack of memory")

    # a busy Docker may tell of it after the end
    wait_until(is_told, "the reason", state=lambda: bench.look(name))


def test_init_passes_sigterm_on_to_a_command_that_has_no_handler(bench: DockerTest) -> None:
    if not bench.client.info().get("InitBinary") or not Path("/usr/bin/docker-init").exists():
        pytest.skip("this engine has no init")
    name = bench.start_running("sleep", "600", init=True)
    bench.engine.stop(name, 600.0)
    assert bench.until(name, PilotState.EXITED).exit_code == 143


def test_a_pilot_that_cannot_receive_sigterm_yet_gets_it_later(
    bench: DockerTest, tmp_path: Path
) -> None:
    # The kernel drops the SIGTERM of a first process without a handler, as each is at first.
    script = f"until [ -e /test/go ]; do sleep 0.05; done; {SLEEPS[2]}"
    name = bench.start_running("sh", "-c", script, binds=(f"{tmp_path}:/test",))
    bench.engine.stop(name, 600.0)
    assert bench.until(name, PilotState.STOPPING).asked_to_stop
    (tmp_path / "go").touch()
    assert bench.until(name, PilotState.EXITED).exit_code == 143


def test_a_pilot_joins_the_networks_that_are_named(bench: DockerTest) -> None:
    for network in ("plancton-a", "plancton-b"):
        bench.client.create_network(network, driver="bridge", internal=True)
    try:
        name = bench.start_running(networks=("plancton-a", "plancton-b"))
        joined = bench.client.inspect_container(name)["NetworkSettings"]["Networks"]
        assert set(joined) == {"plancton-a", "plancton-b"}
        bench.service.remove_containers()
    finally:
        for network in ("plancton-a", "plancton-b"):
            bench.client.remove_network(network)


def test_a_container_with_more_files_than_can_be_added_up_has_no_size(
    bench: DockerTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "cd /tmp; seq 20000 | busybox xargs touch; echo x > 1; echo made; sleep 600"
    name = bench.start_running("sh", "-c", script)
    container = bench.client.inspect_container(name)["Id"]
    wait_until(lambda: b"made" in bench.client.logs(name), "its files")
    assert bench.engine._api.read_size(container) == 2
    monkeypatch.setattr(api, "DISK_TIMEOUT", 0.002)
    # where this process waits for a CPU, the answer may be there when it looks
    wait_until(lambda: bench.engine._api.read_size(container) is None, "an answer that is late")


# Who is left alone


def test_containers_of_others_are_never_touched(bench: DockerTest) -> None:
    name = "plancton-worker-abc123"  # as 2017 called them, without our label
    body = {"Image": IMAGE, "Cmd": list(SLEEPS), "HostConfig": {"NetworkMode": "none"}}
    other = bench.client.create_container_from_config(body, name)["Id"]
    bench.client.start(other)
    assert bench.engine.list_pilots() == ()
    bench.engine.stop(name, 0.0)
    bench.engine.stop(other, 0.0)
    bench.engine.remove(name)
    bench.engine.remove(other)
    bench.engine.close()
    assert bench.client.inspect_container(other)["State"]["Running"]


def test_an_engine_that_is_not_there_is_unavailable_with_one_clear_line(tmp_path: Path) -> None:
    engine = DockerEngine(f"unix://{tmp_path}/none.sock", "plancton", CGROUPS)
    with pytest.raises(EngineUnavailable, match="no engine listens there"):
        engine.list_pilots()
    with pytest.raises(EngineUnavailable):
        engine.prepare(Config(), FACTS)
    engine.close()


@pytest.mark.root
def test_a_socket_that_we_may_not_open_is_reported_as_such(docker_service: DockerService) -> None:
    # Everything is imported before: another user may not read where this Python lies.
    code = (
        "import os, encodings.idna\n"
        "from plancton.engine.docker.api import DockerApi\n"
        "from plancton.errors import EngineError\n"
        "os.setgid(65534); os.setuid(65534)\n"
        f"try: DockerApi({docker_service.host!r}).read_facts()\n"
        "except EngineError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[3]
    )
    assert "permission denied; run as root or as a member of its group" in done.stdout, done.stderr
