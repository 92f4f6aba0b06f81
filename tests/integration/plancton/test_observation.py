"""Observe the real daemon: logs, full disks, systemd, health, top; and simulate."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from plancton.errors import ExitCode
from tests.support.node_daemon import Node
from tests.support.services.programs import stop_process
from tests.support.waiting import wait_until


def test_a_log_on_a_full_disk_does_not_stop_the_daemon(node: Node) -> None:
    node.configure()
    node.nodaemon(out=Path("/dev/full"))
    node.wait_for(3)
    assert node.ctl("health").returncode == 0
    node.terminate()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_a_status_file_on_a_full_disk_does_not_stop_the_daemon(node: Node) -> None:
    node.configure(main_sleep=0.1)
    node.rundir.mkdir()
    full = node.directory / "full"
    full.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", full], check=True)
    try:
        (full / "filler").write_bytes(bytes(4096))
        (full / "status").touch()
        (node.rundir / "status.json.new").symlink_to(full / "status")
        daemon = node.nodaemon()
        pilots = node.rundir / "pilots"
        wait_until(
            lambda: len(list(pilots.glob("*/exit.json"))) == 0 and len(node.marked()) >= 3,
            "3 pilots", state=node.log,
        )  # fmt: skip
        text = "status.json: cannot be written: No space left"
        wait_until(lambda: text in node.log(), "the log")
        assert daemon.poll() is None
    finally:
        subprocess.run(["umount", "-l", full], check=True)


# systemd


def test_systemd_is_reported_when_the_daemon_is_ready(node: Node) -> None:
    node.configure()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(node.directory / "notify"))
        line.settimeout(60)
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
    stop_process(daemon.pid)
    document = node.published()
    document["looked"] -= 100
    (node.rundir / "status.json").write_text(json.dumps(document))
    done = node.ctl("health")
    assert done.returncode == 1
    assert re.match(r"the daemon hangs: its last look at the node was 1\d\d", done.stdout)
    daemon.send_signal(signal.SIGCONT)
    wait_until(lambda: node.ctl("health").returncode == 0, "health", state=node.published)
    node.terminate()
    assert node.ctl("health").stdout == "the daemon does not run\n"


def test_top_without_a_terminal_is_plain_and_ends(node: Node) -> None:
    names = node.fill(main_sleep=600)
    looked = node.published()["looked"]
    done = node.ctl("top", "--interval=0.5", "--count=2")
    assert done.returncode == 0, done.stderr
    assert all(done.stdout.count(name) == 2 for name in names)
    assert "\x1b" not in done.stdout
    first, second = done.stdout.split("Daemon: ")[1:]
    assert "CPU time" in first and "CPU time" not in second and " CPU " in second
    # it only asks for the look: on a busy machine that comes after the second table
    wait_until(lambda: node.published()["looked"] > looked, "the look that it asks for")


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
    assert lines[0] == "nodes: 2, each with 4 CPUs; 0.03 node-days; the owner left 1.3 CPU-hours"
    (ended,) = [line.split() for line in lines if line.strip().startswith("jobs finished")]
    assert ended == ["jobs", "finished", "0", "0"]


def test_simulate_with_jobs_writes_a_page_with_the_picture(node: Node) -> None:
    node.configure(cpu_reserve=0, max_docks="ncpus")
    trace, page = node.directory / "trace.txt", node.directory / "page.html"
    trace.write_text("0 7200 14400 20000\n")
    done = node.ctl(
        "simulate", str(trace), "--owner=whole", "--jobs=fixed:600", "--ncpus=1", "--cpu-idle",
        "--ram=64000000000", f"--html={page}", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    # Two hours hold twelve jobs of ten minutes; a start a few seconds late leaves eleven.
    assert found["knowing_the_future"]["finished"] == 12
    assert found["configured"]["finished"] == 11
    assert 0 < found["configured"]["thrown"] < 600
    assert page.read_text().count("<svg") == 2


def test_simulate_prints_its_result_also_where_the_page_cannot_be_written(node: Node) -> None:
    node.configure()
    trace, page = node.directory / "trace.txt", node.directory / "nowhere" / "page.html"
    trace.write_text("0 0 0\n")
    done = node.ctl("simulate", str(trace), "--ncpus=1", "--ram=64000000000", f"--html={page}")
    assert done.returncode == ExitCode.FAILED
    assert "nodes: 1, each with 1 CPU;" in done.stdout
    assert f"{page}: cannot be written: No such file or directory" in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "holds no line of a node"), ("1 2 x\n", ":1: 'x' is no percentage of 0 to 100"),
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
