"""The real daemon under control: environment, engine changes, health, top, full disks, systemd."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import yaml

from plancton.errors import ExitCode
from tests.integration.test_plancton_config_url import Web
from tests.plancton_node import CONFIG, Node
from tests.waiting import wait_until


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.clean()


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    yield server
    server.close()


# The container of 2017: its environment


def test_a_daemon_takes_its_configuration_from_the_url_in_its_environment(
    node: Node, web: Web
) -> None:
    web.text = yaml.safe_dump({**CONFIG, "main_sleep": 600})
    node.environment = {
        "PLANCTON_CONF_URL": web.url.replace("://", "://user:secret@"),
        "PLANCTON_CONF_UPDATE": "1",
    }
    daemon = node.nodaemon()
    node.wait_for(3)
    web.text, web.etag = yaml.safe_dump({**CONFIG, "main_sleep": 600, "max_docks": 4}), '"2"'
    node.wait_for(4)
    web.text, web.etag = "max_dokcs: 5", '"3"'
    wait_until(lambda: node.published()["config"]["problem"], "the problem", state=node.published)
    for command in ("status", "explain"):
        assert "did you mean 'max_docks'?" in node.ctl(command).stdout
    assert len(node.running()) == 4
    assert "secret" not in node.log() + json.dumps(node.published())
    daemon.terminate()
    assert daemon.wait(60) == 0
    # Away: the last good one is used, and it is said.
    web.answer = lambda request: request.send_error(503)
    again = node.nodaemon()
    node.wait_for(4, again)
    wait_until(
        lambda: "the server answers 503" in node.published()["config"]["problem"],
        "the problem",
        state=node.published,
    )
    assert "the server answers 503" in node.ctl("explain").stdout


def test_start_in_the_background_hands_the_url_on(node: Node, web: Web) -> None:
    web.text = yaml.safe_dump(CONFIG)
    node.environment = {"PLANCTON_CONF_URL": web.url}
    done = node.ctl("start")
    assert done.returncode == 0, done.stderr
    node.wait_for(3)
    assert node.published()["config"]["path"] == web.url
    assert node.ctl("force-stop").returncode == 0


def test_a_daemon_whose_server_is_away_at_the_first_start_says_so(node: Node, web: Web) -> None:
    web.answer = lambda request: request.send_error(404)
    node.environment = {"PLANCTON_CONF_URL": web.url}
    done = node.ctl("nodaemon")
    assert done.returncode == ExitCode.CONFIG
    assert done.stderr == (
        f"planctonctl: {web.url}: cannot be fetched: the server answers 404 Not Found\n"
    )


def test_validate_fetches_too(node: Node, web: Web) -> None:
    web.text = "engine: process\nmax_docks: 7\nwindows: [sat]\ntimezone: UTC\n"
    done = node.ctl("validate", web.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{web.url}: good\n")
    assert "  max_docks  7 on this node" in done.stdout
    assert "  windows    The node is " in done.stdout
    web.text = "max_dokcs: 7"
    assert node.ctl("validate", web.url).returncode == ExitCode.CONFIG


def test_start_drain_in_the_environment_drains_and_resume_ends_it(node: Node) -> None:
    node.configure()
    node.environment = {"PLANCTON_START_DRAIN": "1"}
    node.nodaemon()
    wait_until(lambda: node.published().get("mode") == "drain", "a drain", state=node.log)
    assert node.running() == {}
    assert node.ctl("resume").returncode == 0
    node.wait_for(3)


def test_force_start_ends_a_drain_whoever_asked_for_it(node: Node) -> None:
    node.configure()
    node.environment = {"PLANCTON_START_DRAIN": "1"}
    assert node.ctl("drain").returncode == 0
    done = node.ctl("force-start")
    assert done.returncode == 0, done.stderr
    node.wait_for(3)
    assert node.ctl("force-stop").returncode == 0


# Windows


def test_a_window_that_closes_evicts_and_one_that_opens_fills(node: Node) -> None:
    now = datetime.now(timezone.utc)
    today = f"{now - timedelta(days=1):%Y-%m-%d} - {now + timedelta(days=1):%Y-%m-%d}"
    node.configure(main_sleep=0.2, timezone="UTC", windows=[today], window_grace=0)
    node.nodaemon()
    node.wait_for(3)
    assert "Window: The node is open until " in node.ctl("status").stdout
    node.configure(main_sleep=0.2, timezone="UTC", windows=[today], stops=[today], window_grace=0)
    wait_until(lambda: not node.running(), "an empty node", state=node.published)
    assert "The node is closed, and no window will come." in node.ctl("explain").stdout
    assert node.published()["window"]["phase"] == "closed"
    node.configure(main_sleep=0.2)
    node.wait_for(3)


# Another engine while pilots run


def test_new_engine_settings_are_followed_and_the_old_pilots_go_on(node: Node) -> None:
    values = {"main_sleep": 0.2, "quick_death": 0}
    node.configure(**values)
    node.nodaemon()
    before = node.wait_for(3)
    elsewhere = node.directory / "elsewhere"
    node.configure(**values, max_docks=5, scratch_dir=str(elsewhere))
    after = node.wait_for(5)
    assert {name: after.get(name) for name in before} == before
    assert len(list((elsewhere / "pilots").glob("plancton-worker-*"))) == 2
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    wait_until(
        lambda: len(list((elsewhere / "pilots").glob("plancton-worker-*"))) == 5,
        "replacements in the new place",
        state=node.published,
    )
    assert node.ctl("force-stop").returncode == 0


def test_an_engine_that_is_not_there_starts_nothing_and_everybody_hears_why(node: Node) -> None:
    """2017 fault 3: it was read as zero running."""
    missing = f"unix://{node.directory}/nothing.sock"
    node.configure(engine="docker", docker_host=missing, max_dock_mem=10_000_000)
    daemon = node.nodaemon()
    wait_until(lambda: node.published().get("engine"), "a look", state=node.log)
    wait_until(lambda: node.published()["engine"]["problem"], "a problem", state=node.published)
    assert node.published()["pilots"] is None, "unknown, which is not none"
    done = node.ctl("health")
    assert done.returncode == 1
    assert done.stdout.startswith("the engine does not answer: ")
    assert "Pilots: not known" in node.ctl("status").stdout
    assert daemon.poll() is None, "it waits"
    daemon.terminate()
    assert daemon.wait(60) == 0
    done = node.ctl("force-stop")
    assert done.returncode == ExitCode.ENGINE, "nobody knows whether pilots are left"
    assert done.stderr.count("\n") == 1 and missing in done.stderr
    (node.rundir / "status.json").unlink()  # so that the fixture does not ask that engine too


# Back-offs over a restart


def test_a_breaker_that_is_open_stays_so_over_a_restart(node: Node) -> None:
    node.configure(docker_cmd="/nowhere/worker", breaker_backoff=600)
    first = node.nodaemon()
    wait_until(
        lambda: node.published().get("breaker", {}).get("state") == "open",
        "an open breaker",
        state=node.log,
    )
    wait_until(lambda: not node.published()["pilots"], "all removed", state=node.published)
    before = node.published()["breaker"]
    first.kill()
    first.wait()
    second = node.nodaemon()
    wait_until(lambda: node.published()["daemon"]["pid"] == second.pid, "a look", state=node.log)
    after = node.published()["breaker"]
    assert (after["state"], after["reason"]) == ("open", before["reason"])
    assert 0 < after["next_probe_in"] <= before["next_probe_in"]
    assert node.published()["counts"]["started"] == 0


# Logs


def test_a_log_on_a_full_disk_does_not_stop_the_daemon(node: Node) -> None:
    node.configure()
    daemon = node.nodaemon(out=Path("/dev/full"))
    node.wait_for(3)
    assert node.ctl("health").returncode == 0
    daemon.terminate()
    assert daemon.wait(60) == 0


def test_a_status_file_on_a_full_disk_does_not_stop_the_daemon(node: Node) -> None:
    node.configure(main_sleep=0.1)
    node.rundir.mkdir()
    (node.rundir / "status.json.new").symlink_to("/dev/full")
    daemon = node.nodaemon()
    pilots = node.rundir / "pilots"
    wait_until(lambda: len(list(pilots.glob("*/exit.json"))) == 0 and len(node.marked()) >= 3,
               "3 pilots", state=node.log)  # fmt: skip
    wait_until(lambda: "status.json: cannot be written: No space left" in node.log(), "the log")
    assert daemon.poll() is None


def test_the_background_daemon_logs_to_its_file(node: Node) -> None:
    node.configure()
    assert node.ctl("start").returncode == 0
    node.wait_for(3)
    text = (node.directory / "log" / "plancton.log").read_text()
    assert "plancton-worker-" in text and " INFO " in text
    assert node.ctl("force-stop").returncode == 0


# systemd


def test_systemd_is_told_when_the_daemon_is_ready(node: Node) -> None:
    node.configure()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(node.directory / "notify"))
        line.settimeout(20)
        node.environment = {"NOTIFY_SOCKET": str(node.directory / "notify")}
        daemon = node.nodaemon()
        assert line.recv(1000).startswith(b"READY=1\n")
        daemon.terminate()
        while (said := line.recv(1000)) != b"STOPPING=1":
            assert said.startswith(b"READY=1\n")
        assert daemon.wait(60) == 0


# Health and top


def test_health_is_0_while_the_daemon_works_and_1_when_it_hangs_or_is_gone(node: Node) -> None:
    assert node.ctl("health").returncode == 1
    node.configure(main_sleep=0.1)
    daemon = node.nodaemon()
    node.wait_for(3)
    done = node.ctl("health")
    assert (done.returncode, done.stdout) == (0, "healthy\n")
    daemon.send_signal(signal.SIGSTOP)
    document = node.published()
    document["looked"] -= 100
    (node.rundir / "status.json").write_text(json.dumps(document))
    done = node.ctl("health")
    assert done.returncode == 1
    assert done.stdout.startswith("the daemon hangs: its last look at the node was 10")
    daemon.send_signal(signal.SIGCONT)
    wait_until(lambda: node.ctl("health").returncode == 0, "health", state=node.published)
    daemon.terminate()
    assert daemon.wait(60) == 0
    assert node.ctl("health").stdout == "the daemon does not run\n"


def test_top_without_a_terminal_is_plain_and_ends(node: Node) -> None:
    node.configure(main_sleep=600)
    node.nodaemon()
    names = node.wait_for(3)
    looked = node.published()["looked"]
    done = node.ctl("top", "--interval=0.5", "--count=2")
    assert done.returncode == 0, done.stderr
    assert all(done.stdout.count(name) == 2 for name in names)
    assert "\x1b" not in done.stdout
    first, second = done.stdout.split("Daemon: ")[1:]
    assert "CPU time" in first and "CPU time" not in second and " CPU " in second
    assert node.published()["looked"] > looked, "it has the daemon look"


def test_top_on_a_terminal_is_live_and_ctrl_c_leaves_it(node: Node) -> None:
    node.configure(main_sleep=600)
    node.nodaemon()
    name = sorted(node.wait_for(3))[0]
    controller, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    top = subprocess.Popen(
        node.command("top", "--interval=0.2"),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=environment,
        start_new_session=True,
    )
    node.daemons.append(top)  # so that it is ended whatever happens
    os.close(terminal)
    os.set_blocking(controller, False)
    shown = bytearray()

    def pictures() -> bool:
        try:
            shown.extend(os.read(controller, 65536))
        except BlockingIOError:
            pass
        return shown.count(name.encode()) >= 3

    wait_until(pictures, "three pictures", state=lambda: bytes(shown))
    top.send_signal(signal.SIGINT)
    deadline = time.monotonic() + 20
    while top.poll() is None and time.monotonic() < deadline:
        try:
            pictures()  # it must not block on a full terminal
        except OSError:
            break  # it closed its end
    top.wait(60)
    assert top.poll() == 0, bytes(shown)
    os.close(controller)


# Simulation


def test_simulate_replays_a_load_and_prints_what_would_have_been(node: Node) -> None:
    node.configure(cpu_reserve=0)
    trace = node.directory / "trace.txt"
    trace.write_text("0 0 0 0\n100 100 100 100\n")
    done = node.ctl("simulate", str(trace), "--ncpus=4", "--ram=64000000000")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "2 nodes of 4 CPUs, 0.03 node-days"
    assert lines[1].split() == ["pilot-hours", "gained", "1.0"]
    assert lines[4].split()[:3] == ["owner", "collisions", "0,"]


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "holds no line of percentages"), ("1 2 x\n", ":1: 'x' is no percentage of 0 to 100"),
     ("1\n101\n", ":2: '101' is no percentage of 0 to 100")],
)  # fmt: skip
def test_a_bad_trace_is_one_clear_line(node: Node, text: str, said: str) -> None:
    node.configure()
    trace = node.directory / "trace.txt"
    trace.write_text(text)
    done = node.ctl("simulate", str(trace))
    assert done.returncode == ExitCode.FAILED
    assert done.stderr.startswith(f"planctonctl: {trace}") and said in done.stderr
    assert done.stderr.count("\n") == 1
