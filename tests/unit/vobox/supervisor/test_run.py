"""What ``thyme-vobox run`` does when: schedd, credentials, CE and renewal, on a fake clock."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_supervisor_system import HOUR, FakeVobox, credential
from vobox.supervisor.processes import Result
from vobox.supervisor.run import STATUS_FILE

ASK = "exec condor_q"
RUN = {"CE": "none", "CE_COMMAND": "my-ce --forever"}
CE = RUN["CE_COMMAND"]
DAEMON = {"CE": "none", "CE_START": "up", "CE_STATUS": "see", "CE_STOP": "down"}
PROXY = {**RUN, "X509_USER_PROXY": "/proxy"}
RENEW = {**PROXY, "PROXY_RENEW": "make > $PROXY_OUT"}
MAKE = RENEW["PROXY_RENEW"]
SILENT = Result(1, "no thyme-schedd answers at /x")

Make = Callable[..., FakeVobox]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return lambda **environment: FakeVobox(tmp_path, **environment)


def status(box: FakeVobox) -> dict[str, Any]:
    return json.loads((Path(box.settings.directory) / STATUS_FILE).read_text())


# --- at the start ---------------------------------------------------------------------------


def test_the_ce_waits_for_the_schedd(make: Make) -> None:
    box = make(**RUN)
    box.system.results[ASK] = [SILENT, SILENT, Result(0)]
    assert box.run() == 0
    assert box.system.times(ASK) == [0.0, 1.0, 2.0]
    assert box.system.times(CE) == [2.0]
    waiting = "waiting for the schedd at /run/thyme/schedd.sock (no thyme-schedd answers at /x)"
    assert box.said[:3] == [waiting, "schedd and credentials are there", "starting the CE"]


def test_a_schedd_that_never_comes_ends_it_with_3(make: Make) -> None:
    box = make(**RUN, SCHEDD_TIMEOUT="30")
    box.system.results[ASK] = [SILENT]
    assert box.run() == 3
    assert box.said[-1] == "no schedd within 30 s: no thyme-schedd answers at /x"
    assert box.system.times(CE) == []


def test_the_ce_waits_for_good_credentials(make: Make) -> None:
    box = make(**PROXY)
    missing = "X509_USER_PROXY=/proxy: No such file or directory"
    box.look = lambda now: [credential("X509_USER_PROXY", missing if now < 7 else "")]
    assert box.run() == 0
    assert box.said[0] == "waiting for X509_USER_PROXY=/proxy: No such file or directory"
    assert box.system.times(CE) == [10.0]


def test_credentials_that_never_come_end_it_with_4(make: Make) -> None:
    box = make(**PROXY, CREDENTIALS_TIMEOUT="20")
    box.look = lambda _: [credential("X509_USER_PROXY", "X509_USER_PROXY=/proxy: it expired")]
    assert box.run() == 4
    assert box.said[-1] == "no credentials within 20 s: X509_USER_PROXY=/proxy: it expired"


# --- the CE ---------------------------------------------------------------------------------


def test_a_ce_that_dies_is_started_again_after_growing_waits(make: Make) -> None:
    box = make(**RUN, CE_BACKOFF_MAX="10")
    box.system.lives = [(1.0, 1)] * 5
    assert box.run() == 0
    assert box.system.times(CE) == [0.0, 3.0, 8.0, 17.0, 28.0, 39.0]
    assert "ERROR: the CE ended: exit code 1; started again in 2 s" in box.said


def test_a_ce_that_ran_for_long_is_soon_started_again(make: Make) -> None:
    box = make(**RUN)
    box.system.lives = [(1.0, 1), (1.0, 1), (700.0, -9)]
    box.run()
    assert box.system.times(CE) == [0.0, 3.0, 8.0, 710.0]
    assert "ERROR: the CE ended: signal 9; started again in 2 s" in box.said


def test_a_ce_whose_software_is_missing_says_so_and_is_tried_again(make: Make) -> None:
    if Path("/cvmfs/alice.cern.ch").exists():
        pytest.skip("ALICE's software is here")
    box = make(CE="jalien", X509_USER_PROXY="/proxy")
    box.run(5.0)
    errors = [text for text in box.said if text.startswith("ERROR")]
    assert errors[0].startswith(
        "ERROR: cannot start the CE: /cvmfs/alice.cern.ch/bin/alienv is not there: "
        "mount /cvmfs into this container"
    )
    assert [text.rpartition("; ")[2] for text in errors] == [
        "started again in 2 s",
        "started again in 4 s",
    ]


def test_a_program_that_cannot_be_executed_is_tried_again(make: Make) -> None:
    box = make(**RUN)
    box.system.refuses = {CE}
    box.run(1.0)
    assert "ERROR: the CE did not start: Exec format error; started again in 2 s" in box.said


def test_a_ce_in_the_background_is_checked_by_its_status_command(make: Make) -> None:
    box = make(**DAEMON)
    down = Result(1, "CE is down!!")
    box.system.results["see"] = [down, Result(0), down, down, Result(0)]
    box.run(400.0)
    # one bad answer is not a death, two are
    assert box.system.times("see") == [60.0, 120.0, 180.0, 240.0, 302.0, 362.0]
    assert box.system.times("up") == [0.0, 242.0]
    error = "ERROR: the CE does not answer: exit code 1 (CE is down!!); started again in 2 s"
    assert error in box.said


def test_a_start_that_takes_too_long_is_tried_again(make: Make) -> None:
    box = make(**DAEMON)
    box.system.results["up"] = [Result(None), Result(0)]
    box.run(10.0)
    assert "ERROR: the CE did not start: its time was over; started again in 2 s" in box.said
    assert box.system.times("up") == [0.0, 2.0]


def test_the_demo_ce_runs_once_and_its_end_is_kept(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plancton-demo-ce").touch(0o755)
    box = make(CE="demo", PATH=str(tmp_path), DEMO_ARGS="--agents 5")
    box.system.lives = [(60.0, 1)]
    states = []
    box.look = lambda now: states.append((now, status(box)["state"])) or []
    box.run(1000.0)
    assert box.system.times("exec plancton-demo-ce --agents 5") == [0.0]
    assert dict(states)[120.0] == "ended with 1"
    assert "the CE came to its end: exit code 1" in box.said


# --- the proxy ------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "due"), [("", 12 * HOUR), ("3", 21 * HOUR)])
def test_a_proxy_is_renewed_in_time(make: Make, before: str, due: float) -> None:
    box = make(**RENEW, PROXY_RENEW_BEFORE=before)
    box.look = lambda _: [credential("X509_USER_PROXY", hours=24)]
    box.run(due - 1)
    assert box.system.times(MAKE) == []
    again = make(**RENEW, PROXY_RENEW_BEFORE=before)
    again.look = box.look
    again.run(due + 60)
    assert again.system.times(MAKE) == [due]


def test_a_proxy_that_is_missing_is_made_before_the_ce_starts(make: Make) -> None:
    box = make(**RENEW)
    missing = "X509_USER_PROXY=/proxy: No such file or directory"
    box.look = lambda _: [credential("X509_USER_PROXY", missing)]
    box.run(10.0)
    assert box.system.times(MAKE) == [0.0]
    assert box.system.environment["X509_USER_PROXY"] == "/proxy"
    assert box.system.times(CE) == []


def test_a_renewal_that_fails_is_tried_again_after_growing_waits(make: Make) -> None:
    box = make(**RENEW)
    box.look = lambda _: [credential("X509_USER_PROXY", hours=24)]
    box.system.results[MAKE] = [Result(1, "cannot contact voms.example.org")]
    box.run(24 * HOUR)
    times = box.system.times(MAKE)
    waits = [after - before for before, after in zip(times, times[1:], strict=False)]
    assert waits[:8] == [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0]
    assert (
        "ERROR: the proxy was not renewed: exit code 1 (cannot contact voms.example.org); "
        "again in 60 s"
    ) in box.said
    assert status(box)["renewal_problem"] == "exit code 1 (cannot contact voms.example.org)"
    assert box.system.times(CE) == [0.0]


def test_a_renewal_that_writes_nothing_has_failed(make: Make) -> None:
    box = make(**RENEW)
    box.look = lambda _: [credential("X509_USER_PROXY", hours=24)]
    box.run(12 * HOUR + 1)
    assert (
        "ERROR: the proxy was not renewed: the command wrote no proxy to $PROXY_OUT "
        "(No such file or directory); again in 60 s"
    ) in box.said


def test_nothing_is_renewed_from_a_bad_certificate(make: Make) -> None:
    box = make(**RENEW, X509_USER_CERT="/c", X509_USER_KEY="/k")
    box.look = lambda _: [
        credential("X509_USER_PROXY", "X509_USER_PROXY=/proxy: it expired"),
        credential("X509_USER_CERT", "X509_USER_CERT=/c: it expired"),
    ]
    box.run(10.0)
    assert box.system.times(MAKE) == []
    assert box.said[0] == (
        "waiting for X509_USER_PROXY=/proxy: it expired; X509_USER_CERT=/c: it expired"
    )


# --- the end --------------------------------------------------------------------------------


def test_a_ce_has_the_commands_first_on_path_and_hears_of_sigterm(
    make: Make, tmp_path: Path
) -> None:
    box = make(**RUN)
    assert box.run(100.0) == 0
    assert box.system.signals == [(1100.0, signal.SIGTERM)]
    assert box.said[-2:] == ["signal 15: stopping, 30 s at most", "stopped"]
    assert box.system.environment["PATH"].split(":")[0] == str(tmp_path / "bin")
    assert box.system.environment["THYME_COMMANDS"] == str(tmp_path / "bin")


def test_a_ce_that_does_not_end_within_the_grace_is_killed(make: Make) -> None:
    box = make(**RUN, CE_GRACE="10")
    box.system.obeys_sigterm = False
    assert box.run(100.0) == 0
    assert box.system.signals == [(1100.0, signal.SIGTERM), (1110.0, signal.SIGKILL)]


def test_a_second_sigterm_does_not_wait(make: Make) -> None:
    box = make(**RUN, CE_GRACE="10")
    box.system.obeys_sigterm = False
    assert box.run(100.0, 102.0) == 0
    assert box.system.signals == [(1100.0, signal.SIGTERM), (1102.0, signal.SIGKILL)]


def test_a_ce_in_the_background_is_stopped_by_its_command(make: Make) -> None:
    box = make(**DAEMON)
    assert box.run(100.0) == 0
    assert box.system.times("down") == [100.0]


def test_nothing_is_started_any_more_while_it_stops(make: Make) -> None:
    box = make(**RUN)
    box.system.results[ASK] = [SILENT]
    assert box.run(0.5) == 0
    assert [line for _, line in box.system.started] == [ASK]
