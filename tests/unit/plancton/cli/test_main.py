"""The command line and the messages of planctonctl, without a daemon."""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from plancton import __version__
from plancton.cli import main
from plancton.cli.document import read_current
from plancton.daemon.admin_mode import AdminFlags
from plancton.daemon.lock import DaemonLock
from plancton.daemon.status_document import VERSION
from plancton.engine.pilot_outputs import OUTPUT_KEPT, PilotOutputs
from plancton.errors import AlreadyRunning, EngineUnavailable, ExitCode, PlanctonError, StartFailed
from plancton.model import Mode
from plancton.paths import Paths


@pytest.fixture
def locked(paths: Paths) -> Iterator[Paths]:
    """Return the paths of a daemon that seems to run: this process."""
    lock = DaemonLock(paths)
    lock.take()
    yield paths
    lock.release()


def write_status(paths: Paths, written: float, *pilots: dict[str, object], pid: int = 0) -> None:
    """Write the status document of the daemon ``pid``; 0: of this process."""
    daemon = {"pid": pid or os.getpid(), "started": 0.0}
    document = {"version": 1, "daemon": daemon, "pilots": pilots, "written": written}
    paths.status.write_text(json.dumps(document))


def places(paths: Paths) -> list[str]:
    return [
        f"--logdir={paths.logdir}", f"--rundir={paths.rundir}", f"--confdir={paths.confdir}",
    ]  # fmt: skip


# Command line


def test_every_command_of_2017_is_there() -> None:
    of_2017 = "start force-start stop force-stop status nodaemon drain drain-stop resume help"
    assert set(of_2017.split()) <= set(main.COMMANDS)


def test_every_command_has_code_behind_it() -> None:
    from importlib import import_module

    for name, (module, function, _) in main.COMMANDS.items():
        if name != "help":
            assert callable(getattr(import_module(f"plancton.cli.{module}"), function)), name


def test_help_names_every_command_and_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["help"]) == 0
    told = capsys.readouterr().out
    for name, (_, _, text) in main.COMMANDS.items():
        assert re.search(rf"^    {name} +{re.escape(text[:30])}", told, re.MULTILINE), name
    assert all(f"\n  {code.value}  " in told for code in ExitCode)


@pytest.mark.parametrize(("word", "said"), [("-help", "usage: planctonctl"), ("-version", "plan")])
def test_one_dash_is_enough_for_help_and_version(
    word: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main([word])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(said)


def test_synonyms_lead_to_commands() -> None:
    assert set(main._Parser.synonyms.values()) <= set(main.COMMANDS)
    assert not set(main._Parser.synonyms) & set(main.COMMANDS)


def test_no_command_is_a_wrong_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([]) == ExitCode.USAGE
    assert "planctonctl" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["frobnicate"], "unknown command 'frobnicate'; see"),
        (["strat"], "unknown command 'strat', did you mean 'start'?"),
        (["undrain"], "unknown command 'undrain', did you mean 'resume'?"),
        (["version"], "unknown command 'version', did you mean '--version'?"),
        (["help", "strat"], "unknown command 'strat', did you mean 'start'?"),
        (["status", "--jsno"], "unrecognized arguments: --jsno"),
        (["--rundir"], "argument --rundir: expected one argument"),
        (
            ["simulate", "t", "--owner=half"],
            "argument --owner: invalid choice: 'half' (choose from",
        ),
        (
            ["simulate", "t", "--claim=best"],
            "argument --claim: invalid choice: 'best' (choose from",
        ),
        (["completion", "fish"], "argument shell: invalid choice: 'fish' (choose from"),
        (["simulate", "t", "--waiting=0"], "argument --waiting: must be a whole number, 1 or more"),
        (["simulate", "t", "--waiting=10001"], "argument --waiting: must be 10000 or less"),
        (["simulate", "t", "--ncpus=" + "9" * 5000], "argument --ncpus: must be a whole number, 1"),
        (["simulate", "t", "--job-memory=2g"], "argument --job-memory: must be a whole number"),
        (["drain", "--wait=soon"], "argument --wait: must be 0.1 s or more, e.g. 90, 90s, 30min"),
        (["simulate", "t", "--step=2d"], "argument --step: must be 0.1 to 86400 seconds"),
        (["top", "--interval=0"], "argument --interval: must be 0.1 s or more"),
        (["top", "--count=0"], "argument --count: must be a whole number, 1 or more"),
        (["simulate"], "the following arguments are required: trace"),
        (["simulate", "--nods=3"], "unrecognized arguments: --nods, did you mean '--nodes'?"),
        (["completion", "zsh", "bash"], "unrecognized arguments: bash; see"),
        (["--json", "nodaemon"], "nodaemon has no --json; see"),
        (["--json", "completion", "bash"], "completion has no --json; see"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_code_2(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main(words)
    assert caught.value.code == ExitCode.USAGE == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1
    assert told.endswith("; see `planctonctl help`\n")


def test_places_may_stand_before_and_after_the_command(paths: Paths) -> None:
    for words in ([*places(paths), "drain"], ["drain", *places(paths)]):
        AdminFlags(paths.rundir).resume()
        assert main.main(words) == 0
        assert AdminFlags(paths.rundir).read_mode() is Mode.DRAIN


def test_status_is_quick_because_it_loads_no_heavy_library(locked: Paths) -> None:
    write_status(locked, 0.0)
    script = (
        "import sys; from plancton.cli import main;"
        f"main.main({[*places(locked), 'status', '--json']});"
        "print(sorted({'pydantic', 'jinja2', 'docker', 'yaml', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.endswith("\n[]\n"), done.stdout + done.stderr
    assert '"running": true' in done.stdout


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -u -m plancton help | head -c 1"],
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""


def test_status_without_a_daemon_is_code_3(
    paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main([*places(paths), "status"]) == ExitCode.NOT_RUNNING == 3
    assert capsys.readouterr().out == "The daemon does not run. Pilots that go on without it: 0.\n"
    assert main.main([*places(paths), "status", "--json"]) == ExitCode.NOT_RUNNING
    document = json.loads(capsys.readouterr().out)
    assert document["daemon"] == {"pid": None, "started": None, "running": False}
    assert document["pilots"] == []
    assert main.main([*places(paths), "explain"]) == ExitCode.NOT_RUNNING


def test_before_its_first_pass_a_daemon_shows_nothing_of_the_one_before(locked: Paths) -> None:
    write_status(locked, 5.0, pid=1)
    document = read_current(locked, 10.0)
    assert document["daemon"] == {"pid": os.getpid(), "started": None, "running": True}
    assert document["pilots"] is None
    assert main.main([*places(locked), "status"]) == 0
    assert main.main([*places(locked), "explain"]) == 0


@pytest.mark.parametrize(
    "damage",
    [
        "", "{", "[]", "null", '{"daemon": null}', '{"daemon": {}, "engine": 5}',
        '{"daemon": {}, "engine": {"name": "docker"}}', '{"daemon": {}, "pilots": [5]}',
    ],
)  # fmt: skip
def test_a_damaged_status_file_is_no_traceback(paths: Paths, damage: str) -> None:
    paths.rundir.mkdir()
    paths.status.write_text(damage)
    assert main.main([*places(paths), "status"]) == ExitCode.NOT_RUNNING
    assert main.main([*places(paths), "logs"]) == ExitCode.OK
    assert main.main([*places(paths), "force-stop"]) == ExitCode.OK


@pytest.mark.parametrize("command", ["status", "explain", "top", "health"])
@pytest.mark.parametrize("written", [None, "x", 10**400])
def test_a_status_of_another_version_is_one_line(
    locked: Paths, capsys: pytest.CaptureFixture[str], command: str, written: object
) -> None:
    document = {
        "version": 99, "daemon": {"pid": os.getpid()}, "written": written, "looked": written,
        "pilots": [{}], "rules": [{}], "engine": None,
    }  # fmt: skip
    locked.status.write_text(json.dumps(document))

    assert main.main([*places(locked), command]) == ExitCode.FAILED

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"planctonctl: {locked.status}: not as this version writes it (")


def test_a_fault_of_ours_is_not_said_to_be_another_version(locked: Paths) -> None:
    locked.status.write_text(json.dumps({"version": VERSION, "daemon": {}}))

    with pytest.raises(KeyError):
        main.main([*places(locked), "status"])


@pytest.mark.parametrize("name", ["lock", "drain", "status.json"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_in_the_place_of_a_file_keeps_no_command_waiting(
    paths: Paths, capsys: pytest.CaptureFixture[str], name: str, kind: str
) -> None:
    paths.rundir.mkdir()
    path = paths.rundir / name
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    commands = {"lock": ("status", "stop", "drain"), "drain": ("drain",), "status.json": ()}[name]
    for command in commands:
        assert main.main([*places(paths), command]) == ExitCode.FAILED
        told = capsys.readouterr().err
        assert re.fullmatch(rf".*{path}: .*: is not a regular file; remove it\n", told)
    if name != "lock":
        assert main.main([*places(paths), "status"]) == ExitCode.NOT_RUNNING


def test_stopping_what_does_not_run_is_done_already(
    paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main([*places(paths), "stop"]) == 0
    assert capsys.readouterr().out == "the daemon does not run\n"


def test_ages_are_moved_on_to_now(locked: Paths) -> None:
    dead = {"name": "q", "age": 5.0, "state": "exited"}
    write_status(locked, 100.0, {"name": "p", "age": 5.0, "state": "running"}, dead)
    shown = read_current(locked, 103.0)
    assert [one["age"] for one in shown["pilots"]] == [8.0, 5.0]


def test_validate_shows_what_a_configuration_gives_here(
    paths: Paths, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "some.yaml"
    file.write_text("engine: process\nmax_docks: 7\ndocker_cmd: run {{ pilot }}\nbinds: [/x]\n")
    assert main.main([*places(paths), "validate", str(file)]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{file}: good\n")
    assert "  max_docks  7 on this node" in told
    assert "  command    run plancton-worker-" in told
    assert "  note       binds has no effect with engine: process" in told


def test_a_file_that_is_named_may_be_a_pipe(
    paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    output, inlet = os.pipe()
    try:
        os.write(inlet, b"engine: process\nmax_docks: 7\ndocker_cmd: run\n")
        os.close(inlet)
        assert main.main([*places(paths), "validate", f"/dev/fd/{output}"]) == 0
    finally:
        os.close(output)
    assert capsys.readouterr().out.startswith(f"/dev/fd/{output}: good\n")


def test_validate_prints_the_schema_without_needing_a_configuration(
    paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main([*places(paths), "validate", "--schema"]) == 0
    assert "max_docks" in json.loads(capsys.readouterr().out)["properties"]


def test_a_url_may_stand_where_the_directory_does_and_the_option_wins() -> None:
    by_option = Paths.choose(confdir="https://x/c.yaml", config_url="https://env/c.yaml")
    assert by_option.config_url == "https://x/c.yaml"
    assert Paths.choose(confdir="/here", config_url="https://env/c.yaml").config_url == ""
    by_environment = Paths.choose(config_url="https://u:p@env/c.yaml")
    assert by_environment.config_url == "https://u:p@env/c.yaml"
    assert by_environment.config_name == "https://u:***@env/c.yaml"


def test_what_must_survive_the_node_s_restart_is_not_in_the_run_directory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert str(Paths.choose().statedir) == "/var/lib/plancton"
    assert str(Paths.choose(rundir="/x").statedir) == "/x/state", "two daemons do not share it"


def test_start_hands_its_options_on_with_absolute_paths() -> None:
    from plancton.cli.daemon import _places

    given = argparse.Namespace(
        user=True, logdir=None, rundir="run", confdir="https://x/c.yaml", pidfile="/p"
    )
    assert _places(given) == [
        "--user", "--rundir", f"{Path.cwd()}/run", "--confdir", "https://x/c.yaml",
        "--pidfile", "/p",
    ]  # fmt: skip


# Errors


def test_every_error_has_its_documented_exit_code() -> None:
    assert (AlreadyRunning().exit_code, StartFailed().exit_code) == (5, 6)
    assert EngineUnavailable().exit_code == 6
    assert PlanctonError().exit_code == 1


def test_an_error_is_reported_in_one_line_and_becomes_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_paths: Paths, _arguments: argparse.Namespace) -> int:
        raise StartFailed("no room")

    monkeypatch.setattr("plancton.cli.show.status", fails)
    assert main.main(["status"]) == ExitCode.ENGINE
    assert capsys.readouterr().err == "planctonctl: no room\n"


def test_version_and_the_help_of_one_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main(["--version"])
    assert (caught.value.code, capsys.readouterr().out) == (0, f"plancton {__version__}\n")
    with pytest.raises(SystemExit) as caught:
        main.main(["help", "drain"])
    assert caught.value.code == 0
    assert "--wait" in capsys.readouterr().out


def test_json_may_stand_before_the_command(
    paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["--json", *places(paths), "status"], [*places(paths), "status", "--json"]):
        assert main.main(words) == ExitCode.NOT_RUNNING
        assert json.loads(capsys.readouterr().out)["daemon"]["running"] is False


def test_a_reload_without_a_daemon_says_so(
    paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main([*places(paths), "reload"]) == ExitCode.NOT_RUNNING
    assert "it reads the configuration when it starts" in capsys.readouterr().err


# What pilots printed


def test_logs_lets_no_output_steer_the_terminal(
    paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "plancton-worker-abcdef"
    PilotOutputs(paths.pilot_outputs).keep(
        name, "\x1b]0;title\x07\x1b[2Jgr\u00fcn\t1\r\n\x9b31m\u202ered\n".encode()
    )
    assert main.main([*places(paths), "logs", name]) == 0
    told = capsys.readouterr().out
    assert told == "\ufffd]0;title\ufffd\ufffd[2Jgr\u00fcn\t1\ufffd\n\ufffd31m\ufffdred\n"
    assert main.main([*places(paths), "logs", "--json", name]) == 0
    told = capsys.readouterr().out
    assert told.isascii() and "\x1b" not in told
    assert json.loads(told)["output"].startswith("\x1b]0;title\x07")


def test_logs_shows_so_many_lines_of_the_end(
    paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    PilotOutputs(paths.pilot_outputs).keep("plancton-worker-abcdef", b"a\n" * OUTPUT_KEPT + b"b\n")
    assert main.main([*places(paths), "logs", "abcdef", "--lines", "2"]) == 0
    assert capsys.readouterr().out == "a\nb\n"
