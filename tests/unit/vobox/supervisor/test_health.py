"""The health check's line, from what the loop wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fake_supervisor_tasks import FakeBox, settings
from vobox.supervisor import health, status


def known(box: FakeBox) -> dict:
    return status.document(box.box.state, box.settings, box.box.recipe, box.clock)


def line(box: FakeBox, seconds: float = 0.0, alive: bool = True, boot: str | None = None) -> str:
    return health.problem_of(
        known(box),
        status.boot() if boot is None else boot,
        box.clock.mono + seconds,
        box.clock.wall + seconds,
        lambda _: alive,
    )


@pytest.fixture
def box(tmp_path: Path) -> FakeBox:
    made = FakeBox(tmp_path, CE="jalien", X509_USER_PROXY="/p", CE_COMMAND="my-ce")
    made.credential("X509_USER_PROXY")
    made.schedd_answers()
    return made


def test_a_box_whose_ce_runs_is_well(box: FakeBox) -> None:
    assert line(box) == ""


def test_a_box_without_a_ce_is_well(tmp_path: Path) -> None:
    made = FakeBox(tmp_path, CE="none")
    made.schedd_answers()
    assert line(made) == ""


def test_a_box_that_does_not_run_is_not(box: FakeBox) -> None:
    assert line(box, alive=False) == "thyme-vobox does not run"
    assert line(box, boot="another") == "thyme-vobox does not run"
    assert health.problem_of(None, "", 0.0, 0.0, lambda _: True) == (
        "thyme-vobox has written no status: it does not run, or VOBOX_DIR is another"
    )


def test_a_box_that_hangs_is_not(box: FakeBox) -> None:
    assert line(box, seconds=61) == "thyme-vobox hangs: its last look was 61 s ago"


def test_a_box_that_waits_says_for_what(tmp_path: Path) -> None:
    made = FakeBox(tmp_path, CE="none", X509_USER_PROXY="/p")
    made.credential("X509_USER_PROXY", problem="X509_USER_PROXY=/p: it expired")
    made.turn()
    assert line(made) == "waiting for the schedd"
    made.end("schedd", 0)
    assert line(made) == "X509_USER_PROXY=/p: it expired"


def test_credentials_that_end_soon_are_an_illness(box: FakeBox) -> None:
    box.clock = box.clock._replace(wall=box.clock.wall + 22.5 * 3600)
    assert line(box).startswith("X509_USER_PROXY is valid until 20")


def test_a_ce_that_is_down_says_why(box: FakeBox) -> None:
    box.end("ce", 1, "cannot reach LDAP")
    assert line(box) == "the jalien CE is down: the CE ended: exit code 1 (cannot reach LDAP)"
    box.wait(2.0)
    assert line(box) == ""


def test_a_renewal_that_failed_is_an_illness(tmp_path: Path) -> None:
    made = FakeBox(tmp_path, CE="none", X509_USER_PROXY="/p", PROXY_RENEW="false")
    made.credential("X509_USER_PROXY")
    made.schedd_answers()
    made.wait(13 * 3600)
    made.end("renew", 1)
    assert line(made) == "the proxy was not renewed: exit code 1"


def test_a_demo_that_failed_is_an_illness(tmp_path: Path) -> None:
    (tmp_path / "plancton-demo-ce").touch(0o755)
    made = FakeBox(tmp_path, CE="demo", PATH=str(tmp_path))
    made.schedd_answers()
    made.end("ce", 1, "3 of 5 agents as meant")
    assert line(made) == "the demo CE ended with 1"


def test_a_box_that_stops_is_not_well(box: FakeBox) -> None:
    box.box.stop(15, box.clock)
    assert line(box) == "thyme-vobox is stopping"


def test_a_schedd_command_that_is_not_there_is_named(tmp_path: Path) -> None:
    mine = settings(tmp_path, CE="none")
    assert health.schedd_problem(mine) == f"{tmp_path}/bin/condor_q: No such file or directory"


def test_the_last_line_of_condor_q_is_the_reason(tmp_path: Path) -> None:
    mine = settings(tmp_path, CE="none")
    command = tmp_path / "bin/condor_q"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\necho '-- Failed' >&2\necho 'ledger 400 s old' >&2\nexit 1\n")
    command.chmod(0o755)
    assert health.schedd_problem(mine) == "condor_q: ledger 400 s old"
