"""Control of the real daemon: environment, commands, windows, another engine, back-offs."""

import json
import os
import signal
import subprocess
import threading
import time
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler

import yaml

from plancton.errors import ExitCode
from tests.support.config_server import ConfigServer
from tests.support.node_daemon import CONFIG, Node
from tests.support.waiting import wait_until

# The container of 2017: its environment


def test_a_daemon_takes_its_configuration_from_the_url_in_its_environment(
    node: Node, web: ConfigServer
) -> None:
    web.text = yaml.safe_dump({**CONFIG, "main_sleep": 600})
    node.environment = {
        "PLANCTON_CONF_URL": web.url.replace("://", "://user:secret@"),
        "PLANCTON_CONF_UPDATE": "1",
    }
    node.nodaemon()
    node.wait_for(3)
    web.text, web.etag = yaml.safe_dump({**CONFIG, "main_sleep": 600, "max_docks": 4}), '"2"'
    node.wait_for(4)
    web.text, web.etag = "max_dokcs: 5", '"3"'
    wait_until(lambda: node.published()["config"]["problem"], "the problem", state=node.published)
    for command in ("status", "explain"):
        assert "did you mean 'max_docks'?" in node.ctl(command).stdout
    assert len(node.running()) == 4
    assert "secret" not in node.log() + json.dumps(node.published())
    node.terminate()
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


def test_a_command_to_a_daemon_that_still_starts_does_not_end_it(
    node: Node, web: ConfigServer
) -> None:
    go = threading.Event()

    def answer_late(request: BaseHTTPRequestHandler) -> None:
        assert go.wait(60)
        web.as_usual(request)

    web.text, web.answer = yaml.safe_dump(CONFIG), answer_late
    node.environment = {"PLANCTON_CONF_URL": web.url}
    daemon = node.nodaemon()
    wait_until(lambda: web.asked, "the daemon to ask", state=node.log)
    for command in ("retry", "drain"):
        assert node.ctl(command).returncode == 0
    daemon.send_signal(signal.SIGHUP)
    go.set()
    wait_until(lambda: node.published().get("mode") == "drain", "its first pass", state=node.log)
    assert daemon.poll() is None
    assert node.running() == {}


def test_start_in_the_background_hands_the_url_on(node: Node, web: ConfigServer) -> None:
    web.text = yaml.safe_dump(CONFIG)
    node.environment = {"PLANCTON_CONF_URL": web.url}
    done = node.ctl("start")
    assert done.returncode == 0, done.stderr
    node.wait_for(3)
    assert node.published()["config"]["path"] == web.url
    assert node.ctl("force-stop").returncode == 0


def test_a_daemon_whose_server_is_away_at_the_first_start_says_so(
    node: Node, web: ConfigServer
) -> None:
    web.answer = lambda request: request.send_error(404)
    node.environment = {"PLANCTON_CONF_URL": web.url}
    done = node.ctl("nodaemon")
    assert done.returncode == ExitCode.CONFIG
    assert done.stderr == (
        f"planctonctl: {web.url}: cannot be fetched: the server answers 404 Not Found\n"
    )


def test_validate_fetches_too(node: Node, web: ConfigServer) -> None:
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


def test_force_start_ends_a_drain_also_one_of_the_environment(node: Node) -> None:
    node.configure()
    node.environment = {"PLANCTON_START_DRAIN": "1"}
    assert node.ctl("drain").returncode == 0
    done = node.ctl("force-start")
    assert done.returncode == 0, done.stderr
    node.wait_for(3)
    assert node.ctl("force-stop").returncode == 0


def test_start_says_that_the_node_drains(node: Node) -> None:
    node.configure()
    assert node.ctl("drain").returncode == 0
    done = node.ctl("start")
    assert done.returncode == 0, done.stderr
    assert "the node drains since 20" in done.stdout
    assert "`planctonctl resume` ends that" in done.stdout
    assert node.ctl("stop").returncode == 0


def test_start_says_what_of_the_configuration_cannot_be_done(node: Node) -> None:
    node.configure(prometheus="192.0.2.1:9095")
    done = node.ctl("start")
    assert done.returncode == 0, done.stderr
    assert "\nconfiguration: prometheus: cannot listen at 192.0.2.1:9095: " in done.stdout
    assert node.ctl("stop").returncode == 0


def test_start_says_that_the_daemon_ends_again_after_a_drain_stop(node: Node) -> None:
    node.configure()
    assert node.ctl("drain-stop").returncode == 0
    done = node.ctl("start")
    assert done.returncode == 0, done.stderr
    assert ", and the daemon ends after the last pilot: `planctonctl resume` ends" in done.stdout


def test_a_drain_after_a_drain_stop_lets_the_daemon_go_on(node: Node) -> None:
    node.configure()
    node.nodaemon()
    node.wait_for(3)
    assert node.ctl("drain-stop").returncode == 0
    wait_until(lambda: node.published().get("mode") == "drain-stop", "it", state=node.log)
    assert node.ctl("drain").returncode == 0
    wait_until(lambda: node.published().get("mode") == "drain", "a drain", state=node.log)
    assert node.ctl("resume").returncode == 0


def test_drain_with_wait_returns_after_the_last_pilot_and_says_how_many_run(node: Node) -> None:
    node.configure(main_sleep=0.2)
    node.nodaemon()
    pids = node.wait_for(3).values()
    done = node.ctl("drain", "--wait", "1")
    assert done.returncode == ExitCode.FAILED
    assert done.stderr == "planctonctl: 3 pilots are still running after 1 s\n"
    with subprocess.Popen(
        node.command("drain-stop", "--wait"), stdout=subprocess.PIPE, text=True
    ) as waiting:
        assert waiting.stdout is not None
        assert "the daemon ends after the last pilot" in waiting.stdout.readline()
        assert waiting.stdout.readline() == "3 pilots are still running\n"
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        assert waiting.stdout.read().endswith("all pilots have ended\n")
    assert waiting.returncode == 0


def test_a_deadline_ends_the_pilots_that_still_run(node: Node) -> None:
    node.fill(main_sleep=0.2, stop_grace=5)
    done = node.ctl("drain", "--deadline", "1s")
    assert (done.returncode, done.stderr) == (0, "")
    # between the last two: how many are still running, as often as that is seen to change
    assert [*(lines := done.stdout.splitlines())[:3], lines[-1]] == [
        "the node drains: no new pilots are started",
        "3 pilots are still running",
        "3 pilots are still running after 1 s: they are asked to end",
        "all pilots have ended",
    ]
    assert node.published()["mode"] == "drain"


def test_the_deadline_of_a_drain_is_told_to_pilots_and_withdrawn_with_ctrl_c(node: Node) -> None:
    reads = (
        "until cat $MACHINEFEATURES/shutdowntime; do sleep 0.05; done 2>/dev/null; "
        "while test -e $MACHINEFEATURES/shutdowntime; do sleep 0.05; done; "
        "echo none; exec sleep 600"
    )
    (name,) = node.fill(1, max_docks=1, main_sleep=0.2, docker_cmd=["sh", "-c", reads])
    output = node.rundir / "pilots" / name / "output"
    begin = time.time()
    drain = subprocess.Popen(node.command("drain", "--deadline=1h"))
    node.daemons.append(drain)  # so that it is ended whatever happens
    wait_until(lambda: output.read_text().endswith("\n"), "what the pilot is told", state=node.log)
    assert begin + 3600 - 1 <= float(output.read_text()) <= time.time() + 3600 + 1  # whole seconds
    assert "Pilots that still run at " in node.ctl("explain").stdout
    drain.send_signal(signal.SIGINT)
    drain.wait(60)
    wait_until(lambda: output.read_text().endswith("\nnone\n"), "its end", state=node.log)
    said = node.ctl("explain").stdout
    assert "The node drains: `planctonctl resume` ends that.\n" in said
    assert "that pilots were told of is taken back." in said
    assert f"{name} running   It was not told how long it may live. " in said


def test_a_wait_does_not_take_a_dead_daemon_for_no_pilots(node: Node) -> None:
    node.fill(main_sleep=0.2)
    assert node.ctl("stop").returncode == 0
    for option in ("--wait", "--deadline=1"):
        done = node.ctl("drain", option)
        assert done.returncode == ExitCode.FAILED
        assert done.stderr == (
            "planctonctl: the daemon does not run, and 3 pilots are still running; "
            "`planctonctl force-stop` ends them\n"
        )
    assert node.ctl("force-stop").returncode == 0
    assert node.ctl("drain", "--wait").stdout.endswith("all pilots have ended\n")


def test_logs_shows_what_a_running_and_an_ended_pilot_printed(node: Node) -> None:
    node.configure(
        main_sleep=0.2, max_docks=1,
        docker_cmd=["sh", "-c", "echo one; echo two; exec sleep 600"],
    )  # fmt: skip
    node.nodaemon()
    (name,) = node.wait_for(1)
    wait_until(lambda: node.ctl("logs", name).stdout == "one\ntwo\n", "the pilot's output")
    assert node.ctl("logs", "--lines", "1", name.rpartition("-")[2]).stdout == "two\n"
    assert f"{name}  running\n" in node.ctl("logs").stdout
    assert node.ctl("drain", "--deadline", "0.1").returncode == 0
    wait_until(lambda: f"{name}  ended\n" in node.ctl("logs").stdout, "the kept output")
    assert node.ctl("logs", name).stdout == "one\ntwo\n"
    assert json.loads(node.ctl("logs", name, "--json").stdout) == {
        "pilot": name, "output": "one\ntwo\n",
    }  # fmt: skip
    assert node.ctl("stop").returncode == 0
    assert node.ctl("logs", name).stdout == "one\ntwo\n", "it outlives the daemon"
    done = node.ctl("logs", "nobody")
    assert done.returncode == ExitCode.FAILED
    assert done.stderr == (
        "planctonctl: plancton-worker-nobody: no pilot of this name runs, and no output of it is "
        "kept; `planctonctl logs` lists those that there are\n"
    )


def test_every_command_answers_programs(node: Node) -> None:
    node.configure(main_sleep=0.2)
    started = json.loads(node.ctl("start", "--json").stdout)
    assert (started["command"], started["exit_code"], started["error"]) == ("start", 0, "")
    node.wait_for(3)
    health = json.loads(node.ctl("health", "--json").stdout)
    assert health == {"healthy": True, "problem": ""}
    assert json.loads(node.ctl("validate", "--json").stdout)["engine"] == "process"
    assert len(json.loads(node.ctl("logs", "--json").stdout)["running"]) == 3
    lines = node.ctl("top", "--json", "--count=2", "--interval=0.1").stdout.splitlines()
    assert [json.loads(line)["daemon"]["running"] for line in lines] == [True, True]
    again = node.ctl("start", "--json")
    assert again.returncode == json.loads(again.stdout)["exit_code"] == ExitCode.ALREADY_RUNNING
    assert "runs with" in json.loads(again.stdout)["error"]
    stopped = json.loads(node.ctl("force-stop", "--json").stdout)
    assert stopped["text"] == ["stopped; no pilot goes on"]


def test_reload_says_whether_the_configuration_could_be_used(node: Node) -> None:
    node.fill(updateconfig=600, main_sleep=600)
    node.configure(updateconfig=600, main_sleep=600, max_docks=4)
    done = node.ctl("reload")
    assert (done.returncode, done.stdout) == (
        0, f"{node.directory / 'conf/config.yaml'} is in force\n",
    )  # fmt: skip
    node.wait_for(4)
    node.configure(max_dokcs=4)
    done = node.ctl("reload")
    assert done.returncode == ExitCode.CONFIG
    assert "stays in force" in done.stderr and "did you mean 'max_docks'?" in done.stderr
    node.configure(max_docks=1, syslog="/nowhere/log")
    done = node.ctl("reload")
    assert done.returncode == ExitCode.CONFIG
    assert "config.yaml is in force, but for this: syslog /nowhere/log: " in done.stderr


def test_reload_waits_for_the_answer_of_a_server(node: Node, web: ConfigServer) -> None:
    web.text = "engine: process\nmain_sleep: 600\nmax_docks: 0\n"
    node.environment = {"PLANCTON_CONF_URL": web.url}
    assert node.ctl("start").returncode == 0
    done = node.ctl("reload")
    assert (done.returncode, done.stdout) == (0, f"{web.url} is in force\n")

    def answer_slowly(request: BaseHTTPRequestHandler) -> None:
        time.sleep(1.0)
        web.as_usual(request)

    web.text, web.etag, web.answer = "max_dokcs: 2\n", '"2"', answer_slowly
    done = node.ctl("reload")
    assert done.returncode == ExitCode.CONFIG
    assert "stays in force" in done.stderr and "did you mean 'max_docks'?" in done.stderr
    assert node.ctl("force-stop").returncode == 0


# A repair


def test_a_repaired_node_fills_at_once_by_its_configuration_by_retry_and_by_resume(
    node: Node,
) -> None:
    """A wait of 30 minutes for a typo that was corrected makes admins restart the node."""

    program = node.directory / "program"
    node.configure(docker_cmd="thyme-wroker --timeout 10", breaker_backoff=1800, main_sleep=600)
    daemon = node.nodaemon()
    node.wait_for_breaker()
    node.configure(docker_cmd=str(program), breaker_backoff=1800, main_sleep=600)
    daemon.send_signal(signal.SIGHUP)
    wait_until(
        lambda: str(program) in node.published()["breaker"]["reason"], "its failure", state=node.log
    )
    node.wait_for_breaker()
    # The second repair is outside of the configuration, which nothing can see.
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    done = node.ctl("retry")
    assert (done.returncode, done.stdout) == (
        0, "the node forgets earlier failures: pilots are tried again\n",
    )  # fmt: skip
    node.wait_for(3)
    program.unlink()
    for pid in node.running().values():
        os.kill(pid, signal.SIGKILL)
    node.wait_for_breaker()
    program.write_text("#!/bin/sh\nexec sleep 601\n")
    program.chmod(0o755)
    assert node.ctl("drain").returncode == 0
    assert node.ctl("resume").stdout == "the node is in use: pilots are started again\n"
    node.wait_for(3)


# Windows


def test_a_window_that_closes_evicts_and_one_that_opens_fills(node: Node) -> None:
    now = datetime.now(timezone.utc)
    today = f"{now - timedelta(days=1):%Y-%m-%d} - {now + timedelta(days=1):%Y-%m-%d}"
    node.fill(main_sleep=0.2, timezone="UTC", windows=[today], window_grace=0)
    assert "Window: The node is open until " in node.ctl("status").stdout
    node.configure(main_sleep=0.2, timezone="UTC", windows=[today], stops=[today], window_grace=0)
    wait_until(lambda: not node.running(), "an empty node", state=node.published)
    # the status is written at the end of the look that stopped them
    wait_until(lambda: node.published()["window"]["phase"] == "closed", "a closed window",
               state=node.published)  # fmt: skip
    assert "The node is closed, and no window will come." in node.ctl("explain").stdout
    node.configure(main_sleep=0.2)
    node.wait_for(3)


# Another engine while pilots run


def test_new_engine_settings_are_followed_and_the_old_pilots_go_on(node: Node) -> None:
    values = {"main_sleep": 0.2, "quick_death": 0}
    before = node.fill(**values)
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


def test_an_engine_that_is_not_there_starts_nothing_and_the_reason_is_reported(node: Node) -> None:
    """2017 fault 3: it was read as zero running."""
    missing = f"unix://{node.directory}/nothing.sock"
    node.configure(engine="docker", docker_host=missing, max_dock_mem=10_000_000, main_sleep=600)
    daemon = node.nodaemon()
    wait_until(lambda: node.published().get("engine"), "a look", state=node.log)
    wait_until(lambda: node.published()["engine"]["problem"], "a problem", state=node.published)
    assert node.published()["pilots"] is None, "unknown, which is not none"
    done = node.ctl("health")
    assert done.returncode == 1
    assert done.stdout.startswith("the engine does not answer: ")
    assert "Pilots: not known" in node.ctl("status").stdout
    done = node.ctl("force-stop")
    assert done.returncode == ExitCode.ENGINE, "it says so at once"
    assert done.stdout == "the engine did not answer at the last look; it is asked again\n"
    assert "the engine does not answer" in done.stderr
    assert "`planctonctl stop` ends the daemon alone" in done.stderr
    assert daemon.poll() is None, "it waits"
    assert node.ctl("stop").returncode == 0
    done = node.ctl("force-stop")
    assert done.returncode == ExitCode.ENGINE, "nobody knows whether pilots are left"
    assert done.stderr.count("\n") == 1 and missing in done.stderr
    (node.rundir / "status.json").unlink()  # so that the fixture does not ask that engine too


# Back-offs over a restart


def test_pilots_that_cannot_run_open_the_breaker_and_it_stays_so_over_a_restart(
    node: Node,
) -> None:
    node.configure(docker_cmd="/nowhere/worker", breaker_backoff=600)
    node.nodaemon()
    node.wait_for_breaker()
    said = node.ctl("explain").stdout
    assert "cannot run '/nowhere/worker': No such file or directory" in said
    assert node.published()["counts"]["started"] <= 4 + 2
    wait_until(lambda: not node.published()["pilots"], "all removed", state=node.published)
    before = node.published()["breaker"]
    node.kill()
    second = node.nodaemon()
    node.wait_for_daemon(second)
    after = node.published()["breaker"]
    assert (after["state"], after["reason"]) == ("open", before["reason"])
    assert 0 < after["next_probe_in"] <= before["next_probe_in"]
    assert node.published()["counts"]["started"] == 0
