"""The real daemon with real pilots: killed, restarted, stopped, drained, misconfigured."""

import os
import random
import signal
import subprocess
import time

import pytest

from plancton.errors import ExitCode
from tests.support.few_threads import NO_THREAD, run_with_threads
from tests.support.node_daemon import Node, gone
from tests.support.waiting import wait_until

# When the daemon dies


def test_a_daemon_killed_with_9_leaves_its_pilots_to_the_next_one(node: Node) -> None:
    before = node.fill()
    node.kill()
    second = node.nodaemon()
    after = node.wait_for(3, second)
    assert after == before, "same names, same processes: none killed, none doubled"
    assert node.published()["counts"]["started"] == 0


def test_what_ends_while_no_daemon_runs_is_seen_by_the_next_one(node: Node) -> None:
    before = node.fill(docker_cmd="sh -c 'while [ ! -e go ]; do sleep 0.02; done; exit 7'")
    node.kill()
    name = sorted(before)[0]
    (node.rundir / "pilots" / name / "scratch" / "go").touch()
    wait_until((node.rundir / "pilots" / name / "exit.json").exists, "the end noted")
    second = node.nodaemon()
    after = node.wait_for(3, second)
    assert set(before) - set(after) == {name}
    (seen,) = node.published()["ended"]
    assert (seen["name"], seen["exit_code"], seen["asked_to_stop"]) == (name, 7, False)


@pytest.mark.kill
def test_killed_again_and_again_at_any_moment_it_never_loses_nor_doubles_a_pilot(
    node: Node,
) -> None:
    """Short pilots come and go, so the kills hit starts, ends and removals."""
    node.configure(docker_cmd="sh -c 'sleep 0.$(( $$ % 5 ))'", max_docks=4, main_sleep=0.1)
    dice = random.Random(1234)
    for _ in range(15):
        daemon = node.nodaemon()
        node.wait_for_daemon(daemon)
        pause = dice.uniform(0.0, 0.4)
        try:
            daemon.wait(pause)
        except subprocess.TimeoutExpired:
            daemon.kill()
        assert daemon.wait() == -signal.SIGKILL, node.log()
        assert len(list((node.rundir / "pilots").glob("plancton-worker-*"))) <= 4
    node.configure(max_docks=4)
    last = node.nodaemon()
    listed = node.wait_for(4, last)
    wait_until(
        lambda: set(node.running().values()) == node.marked(),
        "exactly the listed processes",
        state=lambda: (node.running(), node.marked()),
    )
    assert len(listed) == 4


# Stopping


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_daemon_and_leaves_the_pilots(node: Node, number: int) -> None:
    node.configure()
    daemon = node.nodaemon()
    before = node.wait_for(3)
    daemon.send_signal(number)
    assert daemon.wait(60) == 0
    assert not any(gone(pid) for pid in before.values())
    document = node.status()
    assert document["daemon"]["running"] is False
    assert {pilot["name"] for pilot in document["pilots"]} == set(before)


def test_force_stop_leaves_nothing_not_even_what_left_its_session(node: Node) -> None:
    node.configure(docker_cmd="sh -c \"setsid sh -c 'trap : TERM; sleep 600' & sleep 600\"")
    daemon = node.nodaemon()
    node.wait_for(3)
    wait_until(lambda: len(node.marked()) >= 9, "grandchildren", state=node.marked)
    done = node.ctl("force-stop")
    assert (done.returncode, done.stdout) == (0, "stopped; no pilot goes on\n"), done.stderr
    assert daemon.wait(60) == 0
    assert node.marked() == set()
    assert list((node.rundir / "pilots").iterdir()) == []
    assert not (node.rundir / "force-stop").exists()


def test_force_stop_ends_what_a_killed_daemon_left(node: Node) -> None:
    node.fill()
    node.kill()
    done = node.ctl("force-stop")
    assert (done.returncode, done.stdout) == (0, "neither the daemon nor a pilot is running\n")
    assert node.marked() == set()


def test_drain_stop_lets_pilots_end_and_then_ends(node: Node) -> None:
    node.configure(docker_cmd="sh -c 'while [ ! -e go ]; do sleep 0.02; done'")
    daemon = node.nodaemon()
    before = node.wait_for(3)
    assert node.ctl("drain-stop").returncode == 0
    wait_until(lambda: node.published()["mode"] == "drain-stop", "the drain", state=node.published)
    assert node.running() == before
    for name in before:
        (node.rundir / "pilots" / name / "scratch" / "go").touch()
    assert daemon.wait(60) == 0
    assert node.published()["counts"]["started"] == 3
    again = node.nodaemon()
    node.wait_for_daemon(again)
    assert node.published()["mode"] == "drain", "drained until somebody resumes it"
    assert node.ctl("resume").returncode == 0
    wait_until(lambda: len(node.running()) == 3, "3 pilots", state=node.log)


def test_start_and_stop_in_the_background(node: Node) -> None:
    node.configure()
    done = node.ctl("start")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("started (pid ")
    before = node.wait_for(3)
    again = node.ctl("start")
    assert again.returncode == ExitCode.ALREADY_RUNNING
    assert "runs with" in again.stderr
    logged = (node.directory / "log" / "plancton.log").read_text()
    assert "plancton-worker-" in logged and " INFO " in logged
    done = node.ctl("stop")
    assert (done.returncode, done.stdout) == (0, "stopped; pilots that go on: 3\n")
    done = node.ctl("start")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: node.running() == before, "the same pilots", state=node.published)
    assert node.ctl("force-stop").returncode == 0


# Two daemons


def test_a_second_daemon_is_refused(node: Node) -> None:
    node.configure()
    first = node.nodaemon()
    node.wait_for(3)
    second = node.ctl("nodaemon")
    assert second.returncode == ExitCode.ALREADY_RUNNING
    assert second.stderr == (
        f"planctonctl: a daemon (pid {first.pid}) runs with {node.rundir} already; "
        "give the second one its own --rundir\n"
    )
    assert node.published()["daemon"]["pid"] == first.pid


# Quickness


def test_a_pilot_that_ends_is_replaced_without_waiting_for_the_timer(node: Node) -> None:
    before = node.fill(main_sleep=600)
    victim, pid = sorted(before.items())[0]
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    node.wait_for_others(victim)
    # Some 50 ms on a free machine; the bound only tells it from a timer.
    assert time.monotonic() - began < 60.0
    (seen,) = node.published()["ended"]
    assert seen["exit_code"] == 137


# What it says


def test_status_and_explain_show_what_runs_and_why(node: Node) -> None:
    names = node.fill()
    wait_until(lambda: node.published()["host"]["pilots_cpus"] is not None, "a CPU reading")
    done = node.ctl("status")
    assert done.returncode == 0
    assert all(name in done.stdout for name in names)
    assert "without isolation" in done.stdout
    done = node.ctl("explain")
    assert done.returncode == 0
    assert "max_docks    0 more    max_docks allows 3 pilots, and 3 are in use." in done.stdout
    document = node.status()
    assert {"name", "pid", "age", "state"} <= set(document["pilots"][0])
    assert document["host"]["owner_cpu_fraction"] >= 0.0
    assert document["config"]["problem"] == ""
    assert document["breaker"]["state"] == "closed"


def test_a_bad_new_configuration_changes_nothing_and_is_reported_everywhere(node: Node) -> None:
    before = node.fill(main_sleep=0.2)
    node.configure(max_dokcs=9)
    wait_until(lambda: node.published()["config"]["problem"], "the problem", state=node.published)
    text = "unknown key 'max_dokcs'; did you mean 'max_docks'?"
    assert text in node.ctl("status").stdout
    assert text in node.ctl("explain").stdout
    assert node.running() == before
    node.configure(max_docks=4, main_sleep=0.2)
    node.wait_for(4)
    assert node.published()["config"]["problem"] == ""


def test_pilots_without_work_back_off_to_one_probe(node: Node) -> None:
    node.configure(docker_cmd="sh -c 'exit 3'", no_work_backoff=600)
    node.nodaemon()
    wait_until(
        lambda: node.published().get("no_work", {}).get("level") == 1 and not node.running(),
        "a back-off",
        state=node.log,
    )
    wait_until(lambda: node.published()["counts"]["ended"] == 3, "all ends", state=node.log)
    assert node.published()["counts"]["started"] == 3


# Bad beginnings


def test_a_daemon_without_a_configuration_says_how_to_get_one(node: Node) -> None:
    done = node.ctl("nodaemon")
    assert done.returncode == ExitCode.CONFIG
    assert done.stderr.startswith(f"planctonctl: {node.directory}/conf/config.yaml: no such file; ")
    assert done.stderr.count("\n") == 1


def test_a_daemon_with_a_bad_configuration_does_not_start(node: Node) -> None:
    node.configure(max_dokcs=1)
    for command in ("nodaemon", "start", "validate"):
        done = node.ctl(command)
        assert done.returncode == ExitCode.CONFIG
        assert done.stderr.endswith("unknown key 'max_dokcs'; did you mean 'max_docks'?\n")


def test_a_run_directory_that_cannot_be_made_is_one_clear_line(node: Node) -> None:
    node.configure()
    (node.directory / "run").write_text("a file")
    done = node.ctl("nodaemon")
    (node.directory / "run").unlink()
    assert done.returncode == ExitCode.FAILED
    assert done.stderr == f"planctonctl: {node.directory}/run: cannot be used: File exists\n"


@pytest.mark.parametrize("threads", [0, 1])
def test_a_node_without_room_for_a_thread_is_told_in_one_line(node: Node, threads: int) -> None:
    node.configure()
    done = run_with_threads("plancton.cli.main", threads, node.command("nodaemon")[3:])
    assert done.returncode == ExitCode.FAILED
    assert done.stderr == f"planctonctl: {NO_THREAD}\n"
