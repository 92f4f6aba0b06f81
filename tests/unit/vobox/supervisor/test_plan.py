"""What the VO box does when: schedd, credentials, CE and renewal, on a fake clock."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.fake_supervisor_tasks import FakeBox
from vobox.supervisor import status

RUN = {"CE": "none", "CE_COMMAND": "my-ce --forever"}
DAEMON = {"CE": "none", "CE_START": "up", "CE_STATUS": "see", "CE_STOP": "down"}
PROXY = {**RUN, "X509_USER_PROXY": "/proxy"}
RENEW = {**PROXY, "PROXY_RENEW": "make > $PROXY_OUT"}


@pytest.fixture
def make(tmp_path: Path):
    return lambda **environment: FakeBox(tmp_path, **environment)


# --- at the start ---------------------------------------------------------------------------


def test_the_ce_waits_for_the_schedd(make) -> None:
    box = make(**RUN)
    box.turn()
    assert box.tasks.started == ["schedd"]
    box.end("schedd", 1, "no thyme-schedd answers at /x")
    assert box.tasks.started == ["schedd"]
    assert box.said == [
        "waiting for the schedd at /run/thyme/schedd.sock (no thyme-schedd answers at /x)"
    ]
    box.wait(1.0)
    box.end("schedd", 0)
    assert box.tasks.started == ["schedd", "schedd", "ce"]
    assert box.tasks.running == {"ce": "my-ce --forever"}


def test_a_schedd_that_never_comes_ends_it_with_3(make) -> None:
    box = make(**RUN, SCHEDD_TIMEOUT="30")
    box.turn()
    box.end("schedd", 1, "no thyme-schedd answers at /x")
    for _ in range(31):
        box.wait(1.0)
        if box.tasks.running:
            box.end("schedd", 1, "no thyme-schedd answers at /x")
    assert box.code == 3
    assert box.said[-1] == "no schedd within 30 s: no thyme-schedd answers at /x"


def test_a_question_that_hangs_is_killed(make) -> None:
    box = make(**RUN)
    box.turn()
    box.wait(61.0)
    assert ("schedd", signal.SIGKILL) in box.tasks.signals
    box.end("schedd", -9)
    assert box.box.state.ended["schedd"].code is None


def test_the_ce_waits_for_good_credentials(make) -> None:
    box = make(**PROXY)
    box.credential("X509_USER_PROXY", problem="X509_USER_PROXY=/proxy: No such file or directory")
    box.schedd_answers()
    assert "ce" not in box.tasks.running
    assert box.said[-1] == "waiting for X509_USER_PROXY=/proxy: No such file or directory"
    box.credential("X509_USER_PROXY")
    box.wait(5.0)
    assert "ce" in box.tasks.running


def test_credentials_that_never_come_end_it_with_4(make) -> None:
    box = make(**PROXY, CREDENTIALS_TIMEOUT="20")
    box.credential("X509_USER_PROXY", problem="X509_USER_PROXY=/proxy: it expired")
    box.schedd_answers()
    for _ in range(5):
        box.wait(5.0)
    assert box.code == 4
    assert box.said[-1] == "no credentials within 20 s: X509_USER_PROXY=/proxy: it expired"


def test_the_condor_commands_are_first_on_path(make, tmp_path: Path) -> None:
    box = make(**RUN)
    box.schedd_answers()
    assert box.tasks.environment["PATH"].split(":")[0] == str(tmp_path / "bin")
    assert box.tasks.environment["THYME_COMMANDS"] == str(tmp_path / "bin")


# --- the CE ---------------------------------------------------------------------------------


def test_a_ce_that_dies_is_started_again_with_back_off(make) -> None:
    box = make(**RUN)
    box.schedd_answers()
    waits = []
    for _ in range(4):
        box.end("ce", 1, "cannot reach LDAP")
        waits.append(box.box.state.ce_retry - box.clock.mono)
        box.wait(waits[-1] - 0.1)
        assert "ce" not in box.tasks.running
        box.wait(0.1)
        assert "ce" in box.tasks.running
    assert waits == [2.0, 4.0, 8.0, 16.0]
    assert "ERROR: the CE ended: exit code 1 (cannot reach LDAP); started again in 2 s" in box.said


def test_a_ce_that_lived_long_is_soon_started_again(make) -> None:
    box = make(**RUN)
    box.schedd_answers()
    for _ in range(6):
        box.end("ce", 1)
        box.wait(box.box.state.ce_retry - box.clock.mono)
    box.wait(700.0)
    box.end("ce", -9)
    assert box.box.state.ce_retry - box.clock.mono == 2.0
    assert "ERROR: the CE ended: signal 9; started again in 2 s" in box.said


def test_a_ce_whose_software_is_not_there_says_so_and_is_tried_again(make) -> None:
    if Path("/cvmfs/alice.cern.ch").exists():
        pytest.skip("ALICE's software is here")
    box = make(CE="jalien", X509_USER_PROXY="/proxy")
    box.credential("X509_USER_PROXY")
    box.schedd_answers()
    assert box.said[-1].startswith(
        "ERROR: cannot start the CE: /cvmfs/alice.cern.ch/bin/alienv is not there: "
        "mount /cvmfs into this container"
    )
    assert box.said[-1].endswith("again in 2 s")
    assert box.code is None
    box.wait(2.0)
    assert box.said[-1].endswith("again in 4 s")


def test_a_program_that_cannot_be_executed_counts_as_a_death(make) -> None:
    box = make(**RUN)
    box.tasks.refuse = "ce"
    box.schedd_answers()
    assert box.said[-1] == (
        "ERROR: the CE ended: exit code 127 (Exec format error); started again in 2 s"
    )


def test_a_ce_in_the_background_is_looked_after_by_its_status_command(make) -> None:
    box = make(**DAEMON)
    box.schedd_answers()
    box.end("ce-start", 0)
    box.wait(59.0)
    assert box.tasks.running == {}
    box.wait(1.0)
    box.end("ce-status", 1, "CE is down!!")
    box.wait(60.0)
    box.end("ce-status", 0)
    assert box.box.state.ce_since is not None  # one bad answer is not a death
    for _ in range(2):
        box.wait(60.0)
        box.end("ce-status", 1, "CE is down!!")
    assert box.said[-1] == (
        "ERROR: the CE does not answer: exit code 1 (CE is down!!); started again in 2 s"
    )
    box.wait(2.0)
    assert box.tasks.running == {"ce-start": "up"}


def test_a_start_that_takes_too_long_is_killed_and_tried_again(make) -> None:
    box = make(**DAEMON)
    box.schedd_answers()
    box.wait(301.0)
    assert ("ce-start", signal.SIGKILL) in box.tasks.signals
    box.end("ce-start", -9)
    assert box.said[-1] == ("ERROR: the CE did not start: its time was over; started again in 2 s")


def test_the_demo_ce_runs_once_and_its_end_is_kept(make, tmp_path: Path) -> None:
    program = tmp_path / "plancton-demo-ce"
    program.touch(0o755)
    box = make(CE="demo", PATH=str(tmp_path), DEMO_ARGS="--agents 5")
    box.schedd_answers()
    assert box.tasks.running == {"ce": "exec plancton-demo-ce --agents 5"}
    box.end("ce", 0, "5 agents, all as meant")
    box.wait(1000.0)
    assert box.tasks.running == {}
    assert box.code is None
    assert status.ce_state(box.box.state, box.box.recipe) == "over 0"


# --- the proxy ------------------------------------------------------------------------------


def test_a_proxy_is_renewed_when_half_its_life_is_over(make) -> None:
    box = make(**RENEW)
    box.credential("X509_USER_PROXY", hours=24)
    box.schedd_answers()
    box.wait(11.9 * 3600)
    assert "renew" not in box.tasks.running
    box.wait(0.2 * 3600)
    assert box.tasks.running["renew"] == "make > $PROXY_OUT"
    assert box.tasks.environment["PROXY_OUT"]


def test_a_proxy_is_renewed_so_many_hours_before_its_end(make) -> None:
    box = make(**RENEW, PROXY_RENEW_BEFORE="3")
    box.credential("X509_USER_PROXY", hours=24)
    box.schedd_answers()
    box.wait(20.9 * 3600)
    assert "renew" not in box.tasks.running
    box.wait(0.2 * 3600)
    assert "renew" in box.tasks.running


def test_a_proxy_that_is_not_there_is_made_before_the_ce_starts(make) -> None:
    box = make(**RENEW)
    box.credential("X509_USER_PROXY", problem="X509_USER_PROXY=/proxy: No such file or directory")
    box.schedd_answers()
    assert set(box.tasks.running) == {"renew"}


def test_a_renewal_that_fails_is_loud_and_tried_again_with_back_off(make) -> None:
    box = make(**RENEW)
    box.credential("X509_USER_PROXY", hours=24)
    box.schedd_answers()
    box.wait(13 * 3600)
    waits = []
    for _ in range(8):
        box.end("renew", 1, "cannot contact voms.example.org")
        waits.append(box.box.state.renew_retry - box.clock.mono)
        box.wait(waits[-1])
    assert waits == [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0]
    assert (
        "ERROR: the proxy was not renewed: exit code 1 (cannot contact voms.example.org); "
        "again in 60 s"
    ) in box.said
    content = status.document(box.box.state, box.settings, box.box.recipe, box.clock)
    assert content["renewal_problem"] == "exit code 1 (cannot contact voms.example.org)"


def test_a_renewal_that_writes_nothing_has_failed(make) -> None:
    box = make(**RENEW)
    box.credential("X509_USER_PROXY", hours=24)
    box.schedd_answers()
    box.wait(13 * 3600)
    box.end("renew", 0)
    assert box.said[-1] == (
        "ERROR: the proxy was not renewed: the command wrote no proxy to $PROXY_OUT "
        "(No such file or directory); again in 60 s"
    )


def test_nothing_is_renewed_from_a_bad_certificate(make) -> None:
    box = make(**RENEW, X509_USER_CERT="/c", X509_USER_KEY="/k")
    box.credential("X509_USER_PROXY", problem="X509_USER_PROXY=/proxy: it expired")
    box.credential("X509_USER_CERT", problem="X509_USER_CERT=/c: it expired")
    box.schedd_answers()
    assert box.tasks.running == {}
    assert box.said[-1] == (
        "waiting for X509_USER_PROXY=/proxy: it expired; X509_USER_CERT=/c: it expired"
    )
