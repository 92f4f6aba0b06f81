"""The demo CE's loop with a fake batch system that writes real user logs."""

import json
from pathlib import Path

import pytest

from demo_ce.agent import Behaviour
from demo_ce.cli import main
from demo_ce.commands import CondorCommands
from demo_ce.counting import CommandResult
from demo_ce.eventlog import Event, describe_end, parse_events
from demo_ce.records import AgentStatus, find_fault, from_json, read_status
from demo_ce.summary import all_succeeded, format_summary
from tests.support.fake_batch_system import NOW, DemoCeTest, build_user_log
from tests.support.waiting import wait_until


@pytest.fixture
def case(tmp_path):
    return DemoCeTest(tmp_path)


def test_the_queue_is_topped_up_to_its_limit_and_not_beyond(case):
    case.ce.run_once(NOW)
    assert len(case.batch.submitted) == 2

    case.ce.run_once(NOW)
    assert len(case.batch.submitted) == 2

    case.batch.idle = 0
    case.ce.run_once(NOW)
    case.batch.idle = 0
    case.ce.run_once(NOW)
    assert len(case.batch.submitted) == 3


def test_agents_take_their_dialects_in_turn(tmp_path):
    case = DemoCeTest(tmp_path, agents=2, dialects=("alien", "condor-pm"))

    case.ce.run_once(NOW)

    (first, by_file), (second, by_stdin) = case.batch.submitted
    assert first == f"condor_submit {tmp_path}/tmp/htc-submit.23615100.jdl"
    assert by_file.startswith(f"cmd = {tmp_path}/tmp/agent.startup.1\n")
    assert second == "condor_submit"
    assert by_stdin.startswith(f"executable = {tmp_path}/tmp/agent.startup.2\n")


def test_every_submitted_agent_is_recorded(case, tmp_path):
    case.ce.run_once(NOW)

    lines = (tmp_path / "agents.jsonl").read_text().splitlines()
    assert [from_json(line) for line in lines] == case.ce.records
    assert json.loads(lines[1])["job"] == "2.0"
    assert case.ce.records[1].behaviour == Behaviour(1, code=7)
    script = Path(case.ce.records[1].script).read_text()
    assert "\nexit 7\n" in script
    assert case.ce.records[1].token in script


def test_a_failed_submission_is_reported_once_and_repeated_as_another_agent(case, tmp_path):
    case.batch.broken = True
    case.ce.run_once(NOW)
    case.ce.run_once(NOW)
    assert case.said == ["the site does not say how many agents it has (alien)"]

    case.batch.broken = False
    case.batch.run = lambda *_, **__: CommandResult(["Submitting job(s)"], 1)
    case.ce.run_once(NOW)
    case.ce.run_once(NOW)
    assert case.said[1:] == ["condor_submit did not take agent 1 (exit code 1)"]
    before = (tmp_path / "tmp" / "agent.startup.1").read_text()

    del case.batch.run
    case.ce.run_once(NOW)
    assert (tmp_path / "tmp" / "agent.startup.1").read_text() != before
    assert [record.number for record in case.ce.records] == [1, 2]


def test_output_without_a_cluster_is_no_submission(case):
    case.batch.run = lambda *_, **__: CommandResult(["all right\n"], 0)

    case.ce.run_once(NOW)

    assert case.ce.records == []
    assert case.said == ["condor_submit did not take agent 1 (it said 'all right')"]


def test_a_stop_comes_between_two_submissions(case):
    taken = case.batch.run

    def stop_after_first(*arguments, **options):
        case.stopping = True
        return taken(*arguments, **options)

    case.batch.run = stop_after_first
    case.ce.run_once(NOW)

    assert len(case.ce.records) == 1


def test_the_ce_is_finished_when_every_agent_has_ended(tmp_path):
    case = DemoCeTest(tmp_path, agents=2)
    case.ce.run_once(NOW)
    case.end(1, 0)
    assert case.ce.run_once(NOW)
    assert not case.ce.finished

    case.end(2, 7)
    case.ce.run_once(NOW)

    assert case.ce.finished
    lines = case.ce.list_results()
    assert all_succeeded(lines, 2)
    assert format_summary(lines, 2, 12.4) == [
        "2 of 2 agents submitted, 1 completed, 1 failed (1 exit 7), 0 removed, "
        "0 held, 0 unfinished in 12 s, as they were meant to end"
    ]


def test_an_agent_that_ended_otherwise_is_named(tmp_path):
    case = DemoCeTest(tmp_path, agents=2)
    case.ce.run_once(NOW)
    case.end(1, 3)
    Path(case.ce.records[1].log).write_text(build_user_log(2, 0, 12))
    case.ce.run_once(NOW)

    lines = case.ce.list_results()

    assert not all_succeeded(lines, 2)
    assert format_summary(lines, 2, 1) == [
        "agent 1 (1.0, alien): ended with exit 3 instead of exit 0",
        "agent 2 (2.0, alien): still held",
        "2 of 2 agents submitted, 0 completed, 1 failed (1 exit 3), 0 removed, "
        "1 held, 0 unfinished in 1 s",
        "still in the queue; remove them with: condor_rm 2.0",
    ]


def test_a_broken_user_log_is_reported_and_ignored(case):
    case.ce.run_once(NOW)
    Path(case.ce.records[0].log).write_text("garbage\n...\n")

    case.ce.run_once(NOW)

    assert "line 1: no event header" in case.said[-1]
    assert case.ce.list_results()[0].status == AgentStatus("idle")


@pytest.mark.parametrize(
    ("course", "wanted"),
    [
        ((), AgentStatus("idle")),
        ((0,), AgentStatus("idle")),
        ((0, 1), AgentStatus("running")),
        ((0, 1, 6), AgentStatus("running")),
        ((0, 1, 4), AgentStatus("idle")),
        ((0, 12), AgentStatus("held")),
        ((0, 12, 13), AgentStatus("idle")),
        ((0, 1, "exit 0"), AgentStatus("ended", "exit 0")),
        ((0, 1, "signal 9"), AgentStatus("ended", "signal 9")),
        ((0, 9), AgentStatus("removed")),
    ],
)
def test_an_agents_status_is_read_from_its_user_log(course, wanted):
    assert read_status(parse_events(build_user_log(1, *course))) == wanted


def test_an_event_that_is_still_being_written_does_not_count_yet():
    text = build_user_log(1, 0, "exit 0")

    assert [event.number for event in parse_events(text[:-4])] == [0]


def test_an_event_has_its_parts():
    (event,) = parse_events("013 (12345.002.000) 01/02 03:04:05 Job was released.\n\twhy\n...\n")

    assert event == Event(13, 12345, 2, "01/02 03:04:05", "Job was released.", ("\twhy",))
    assert describe_end(event) == ""


@pytest.mark.parametrize(
    ("stdout", "stderr", "says"),
    [
        ("", "", "lacks 'done"),
        ("done T\n", "", "lacks 'compressed"),
        ("done T\ncompressed and verified 1\n", "", "lacks its token"),
    ],
)
def test_an_end_must_be_confirmed_by_the_agents_output(case, stdout, stderr, says):
    case.ce.run_once(NOW)
    record = case.ce.records[0]
    stdout = stdout.replace("T", record.token)

    assert says in find_fault(record, AgentStatus("ended", "exit 0"), stdout, stderr)


def test_a_command_that_hangs_is_killed_with_all_it_started(tmp_path):
    marker = tmp_path / "pid"
    commands = CondorCommands({"PATH": "/usr/bin:/bin"}, alarm=1.0)

    answer = commands.run(f"sleep 600 & echo $! >{marker}; wait")

    assert answer.code is None
    sleeper = Path("/proc", marker.read_text().strip(), "stat")
    wait_until(
        lambda: not sleeper.exists() or ") Z " in sleeper.read_text(),
        "the sleeper behind the shell is dead",
    )


def test_only_jalien_merges_stderr_into_stdout():
    commands = CondorCommands({"PATH": "/usr/bin:/bin"})

    merged = commands.run("echo out; echo err >&2", merge_stderr=True)

    assert sorted(merged.lines) == ["err\n", "out\n"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["--dialect", "pbs"],
            "--dialect 'pbs': known are alien, alien-stdin, condor-pm, jalien, alien-v2-19, "
            "condor-pm-v2-19",
        ),
        (["--agent", "7"], "--agent '7': write it as N=DO"),
        (["--agent", "99=exit:1"], "agents are numbered 1 to 24"),
        (["--agent", "1=exit:999"], "an exit code is at most 255"),
        (["--route", "local"], "alien-stdin knows none"),
        (["--route", "local", "--dialect", "alien-v2-19"], "alien-v2-19 knows none"),
        (["--custom-classad", "/nowhere"], "cannot read /nowhere: No such file or directory"),
        (["--dir", "/proc/nowhere"], "cannot write in /proc/nowhere"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments, says, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    assert main(arguments) == 2

    told = capsys.readouterr().err
    assert says in told
    assert told.startswith("plancton-demo-ce: ")
    assert told.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--agents", "0"], ["--seconds", "-1"], ["--interval", "0"]])
def test_a_wrong_number_is_refused(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert arguments[0] in capsys.readouterr().err
