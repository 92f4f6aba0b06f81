"""The health check's line: from the status file, the credentials and the schedd."""

import json
import os
from pathlib import Path

import pytest

from tests.support.fake_supervisor_system import make_settings
from vobox.supervisor import health
from vobox.supervisor.run import STATUS_FILE


def find(directory: Path, state: str, problem: str = "", renewal: str = "", **more: str) -> str:
    """Return the problem of a VO box whose CE is in ``state``."""
    settings = make_settings(directory, **{"CE": "none", **more})
    status = {"pid": os.getpid(), "state": state, "problem": problem, "renewal_problem": renewal}
    return health.find_problem(settings, status)


@pytest.mark.parametrize("state", ["runs", "none", "ended with 0"])
def test_a_vobox_whose_ce_runs_is_healthy(tmp_path: Path, state: str) -> None:
    assert find(tmp_path, state) == ""


@pytest.mark.parametrize(
    ("kind", "state", "line"),
    [
        ("none", "none", "healthy: the schedd answers; no CE is kept running (CE=none)"),
        ("none", "runs", "healthy: the schedd answers; CE none runs"),
        ("demo", "ended with 0", "healthy: the schedd answers; CE demo ended with 0"),
    ],
)
def test_a_healthy_vobox_says_what_its_ce_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, state: str, line: str
) -> None:
    monkeypatch.setattr(health, "find_schedd_problem", lambda _settings: "")
    settings = make_settings(tmp_path, CE=kind)
    status = {"pid": os.getpid(), "state": state, "problem": "", "renewal_problem": ""}
    Path(settings.directory).mkdir(parents=True, exist_ok=True)
    (Path(settings.directory) / STATUS_FILE).write_text(json.dumps(status))
    assert health.check_health(settings) == (0, line)


@pytest.mark.parametrize(
    ("state", "problem", "line"),
    [
        ("waiting for the schedd", "", "waiting for the schedd"),
        ("waiting for the credentials", "", "waiting for the credentials"),
        ("starts", "", "the none CE is starting"),
        ("down", "the CE ended: exit code 1", "the none CE is down: the CE ended: exit code 1"),
        ("ended with 1", "", "the none CE ended with 1"),
        ("stopping", "", "thyme-vobox is stopping"),
    ],
)
def test_a_vobox_whose_ce_does_not_run_says_why(
    tmp_path: Path, state: str, problem: str, line: str
) -> None:
    assert find(tmp_path, state, problem) == line


def test_a_vobox_that_does_not_run_is_not_healthy(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, CE="none")
    assert health.find_problem(settings, health.read_status(str(tmp_path))) == (
        "thyme-vobox does not run, or runs with another VOBOX_DIR"
    )
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # a zombie
    status = {"pid": child, "state": "runs", "problem": "", "renewal_problem": ""}
    (tmp_path / STATUS_FILE).write_text(json.dumps(status))
    read = health.read_status(str(tmp_path))
    assert health.find_problem(settings, read) == "thyme-vobox does not run"
    os.waitpid(child, 0)
    assert health.find_problem(settings, read) == "thyme-vobox does not run"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        "[" * 100_000,
        '{"pid": "x"}',
        '{"pid": 1}',
        '{"pid": 99999999999999999999}',
        None,
    ],
)
def test_a_status_file_that_is_none_is_not_believed(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / STATUS_FILE
    if text is None:
        os.mkfifo(path)
    else:
        path.write_text(text)
    code, line = health.check_health(make_settings(tmp_path, CE="none"))
    assert (code, line) == (1, "thyme-vobox does not run, or runs with another VOBOX_DIR")


def test_a_bad_credential_is_named(tmp_path: Path) -> None:
    proxy = tmp_path / "proxy"
    assert find(tmp_path, "runs", X509_USER_PROXY=str(proxy)) == (
        f"X509_USER_PROXY={proxy}: No such file or directory"
    )


def test_a_renewal_that_failed_is_named(tmp_path: Path) -> None:
    assert find(tmp_path, "runs", renewal="exit code 1") == "the proxy was not renewed: exit code 1"


def test_a_schedd_command_that_is_missing_is_named(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, CE="none")
    expected = f"{tmp_path}/bin/condor_q: No such file or directory"
    assert health.find_schedd_problem(settings) == expected


def test_the_last_line_of_condor_q_is_the_reason(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, CE="none")
    command = tmp_path / "bin/condor_q"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\necho '-- Failed' >&2\necho 'ledger 400 s old' >&2\nexit 1\n")
    command.chmod(0o755)
    assert health.find_schedd_problem(settings) == "condor_q: ledger 400 s old"
