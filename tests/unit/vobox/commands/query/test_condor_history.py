"""condor_history: contract, section 4.2."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_query_queue import FakeQueue, ask, job, out
from vobox.classad.ad import Ad
from vobox.commands.query.condor_history import answer as condor_history
from vobox.commands.query.condor_history_options import USAGE
from vobox.rpc.types import Request

HEADER = " ID          OWNER            SUBMITTED   RUN_TIME   ST   COMPLETED CMD\n"
HISTORY = FakeQueue(
    queue=[job(99)],
    left=[
        job(39, 0, 3, RemoveReason="via condor_rm (by user games)"),
        job(38, 1, 4, CompletionDate=1795353912, RemoteWallClockTime=7.0, ExitCode=3),
        job(38, 0, 4, CompletionDate=1795353900, RemoteWallClockTime=6.5, ExitCode=0),
        job(37, 0, 4, CompletionDate=1795353800, Owner="bob", User="bob@example.org"),
    ],
)


def ids(*argv: str) -> list[str]:
    return out(condor_history, HISTORY, *argv, "-af:j", "ClusterId").split()[::2]


def test_the_table_is_exact_and_everybodys() -> None:
    assert out(condor_history, HISTORY) == (
        HEADER
        + "39.0         games          11/22 13:19   0+00:00:00 X              sleep 600\n"
        + "38.1         games          11/22 13:19   0+00:00:07 C  11/22 13:25 sleep 600\n"
        + "38.0         games          11/22 13:19   0+00:00:06 C  11/22 13:25 sleep 600\n"
        + "37.0         bob            11/22 13:19   0+00:00:00 C  11/22 13:23 sleep 600\n"
    )


@pytest.mark.parametrize(
    ("argv", "found"),
    [
        ([], "39.0 38.1 38.0 37.0"),
        (["", "38.0"], "38.0"),
        (["38.0", "39"], "39.0 38.0"),
        (["bob"], "37.0"),
        (["-submitter", "bob"], "37.0"),
        (["-submitter", "bob@example.org"], "37.0"),
        (["-m", "1"], "39.0"),
        (["-nob"], "37.0 38.0 38.1 39.0"),
        (["-forwards", "-backwards"], "39.0 38.1 38.0 37.0"),
        (["-since", "37.0", "38"], "38.1 38.0"),
        (["-scanlimit", "2"], "39.0 38.1"),
        (["-forwards", "-scanlimit", "2"], "37.0 38.0"),
        (["-forwards", "-scanlimit", "2", "38"], "38.0"),
        (["-forwards", "-completedsince", "0"], "37.0 38.0 38.1 39.0"),
        (["-forwards", "-completedsince", "99999999999"], ""),
        (["-c", "ExitCode =?= undefined"], "39.0 37.0"),
        (["-name", "vobox1", "-pool", "elsewhere:9619", "39"], "39.0"),
        (["-local", "-schedd", "-debug", "-wide:200", "39"], "39.0"),
    ],
)
def test_selection(argv: list[str], found: str) -> None:
    assert ids(*argv) == found.split()


@pytest.mark.parametrize("text", ["undefined", '"x"', "5.0.0"])
def test_since_takes_no_other_literal_than_an_id(text: str) -> None:
    said = ask(condor_history, HISTORY, "-since", text).stderr
    assert said.startswith(f"Error: invalid -since constraint: {text}\n")


@pytest.mark.parametrize("text", ["1+1", "+1", "ClusterId == 38", "false && true"])
def test_since_takes_any_other_expression(text: str) -> None:
    assert ask(condor_history, HISTORY, "-since", text).code == 0


def test_words_after_af_are_attributes_also_numbers() -> None:
    assert out(condor_history, HISTORY, "38.1", "-af", "ExitCode", "38") == "3 38\n"


def test_no_server_time_is_added() -> None:
    assert "ServerTime" not in out(condor_history, HISTORY, "-long")


def test_an_unknown_option_puts_the_usage_on_stdout() -> None:
    answer = ask(condor_history, HISTORY, "-zzz")
    assert answer.stderr == "Error: Unknown argument -zzz\n"
    assert (answer.stdout, answer.code) == (USAGE, 1)


def test_a_name_of_a_file_with_a_nul_is_explained() -> None:
    answer = ask(condor_history, HISTORY, "-file", "a\0b")
    assert answer.stderr == "Error opening history file a\0b: embedded null byte\n"
    assert (answer.stdout, answer.code) == ("", 1)


def test_another_schedd_prints_the_header_and_fails() -> None:
    answer = ask(condor_history, HISTORY, "-name", "nosuch")
    assert answer.stderr == "Unable to locate remote schedd (name=nosuch, pool=).\n"
    assert (answer.stdout, answer.code) == (HEADER, 1)
    assert ask(condor_history, HISTORY, "-pool", "elsewhere", "-af", "X").stdout == ""


def test_an_untrusted_history_is_shown_with_a_warning() -> None:
    untrusted = FakeQueue(left=HISTORY.left, trouble="no broker")
    answer = ask(condor_history, untrusted, "39", "-af", "ClusterId")
    assert (answer.stdout, answer.code) == ("39\n", 0)
    assert answer.stderr == (
        "condor_history: warning: answered from the ledger, which may be out of date: no broker\n"
    )


FILE = r"""ClusterId = 38
ProcId = 0
Owner = "games"
JobStatus = 4
Path = "a\b \"c\""
*** Offset = 0 ClusterId = 38 ProcId = 0 Owner = "games" CompletionDate = 1
garbage that is no attribute
ClusterId = 39
ProcId = 3
Owner = "bob"
JobStatus = 3
*** Offset = 126311 ClusterId = 39 ProcId = 3 Owner = "bob" CompletionDate = -1 CurrentTime = 1
ClusterId = 40
ProcId = 0
"""


def test_a_history_file_is_read_newest_first(tmp_path: Path) -> None:
    (tmp_path / "history").write_text(FILE)
    asked = ("-file", str(tmp_path / "history"))
    found = out(condor_history, HISTORY, *asked, "-af:j", "JobStatus", "Path")
    assert found == '39.3 3 undefined\n38.0 4 a\\b "c"\n'
    assert out(condor_history, HISTORY, "-l", *asked, "-match", "1", "38", "-at", "Path") == (
        'Path = "a\\b \\"c\\""\n\n'
    )


def test_a_file_without_banner_holds_no_job(tmp_path: Path) -> None:
    (tmp_path / "history.40.0").write_text("ClusterId = 40\nProcId = 0\n")
    assert out(condor_history, HISTORY, "-f", str(tmp_path / "history.40.0"), "-af", "Owner") == ""


class _NoFiles:
    """Files that the owner may not read."""

    def read(self, path: str) -> bytes:
        raise PermissionError(13, "Permission denied", path)

    def mode(self, path: str) -> int:
        raise PermissionError(13, "Permission denied", path)

    def walk(self, path: str) -> Iterator[str]:
        raise PermissionError(13, "Permission denied", path)


def test_a_file_is_read_with_the_callers_rights_or_not_at_all(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(FILE)

    def request(uid: int) -> Request:
        argv = ("-file", "secret", "-long")
        return Request("condor_history", argv, str(tmp_path), {}, uid, uid, "bob")

    other = condor_history(request(os.geteuid() + 1), HISTORY, 0.0)
    assert (other.stdout, other.code) == ("", 1)
    assert other.stderr == ("Error: -file secret: this schedd cannot read files with your rights\n")
    denied = condor_history(request(os.geteuid()), HISTORY, 0.0, _NoFiles())
    assert (denied.stdout, denied.code) == ("", 1)
    assert denied.stderr == "Error opening history file secret: Permission denied\n"
    own = condor_history(request(os.geteuid()), HISTORY, 0.0)
    assert own.code == 0
    assert "ClusterId = 39\n" in own.stdout


def test_history_ads_are_not_changed_by_a_query() -> None:
    before = [Ad(ad) for ad in HISTORY.left]
    out(condor_history, HISTORY, "-long")
    assert before == HISTORY.left


@pytest.mark.parametrize("option", ["-limit", "-match", "-scanlimit"])
@pytest.mark.parametrize(("number", "shown"), [("0", 2), ("x", 2), ("-1", 2), ("1x", 1), ("1", 1)])
def test_a_limit_is_read_as_by_atoi_and_one_below_1_is_ignored(
    option: str, number: str, shown: int
) -> None:
    view = FakeQueue(left=[job(1, 0, 4), job(2, 0, 4)])
    assert len(out(condor_history, view, option, number, "-af", "ClusterId").splitlines()) == shown


def test_attributes_are_spelled_as_in_the_job_but_with_long() -> None:
    asked = ("-attributes", "clusterid,OWNER", "-limit", "1")
    assert out(condor_history, HISTORY, "-long", *asked) == 'clusterid = 39\nOWNER = "games"\n\n'
    assert '"ClusterId": 39' in out(condor_history, HISTORY, "-json", *asked)
    assert '"ClusterId": 39' in out(condor_history, HISTORY, "-jsonl", *asked)
    assert '<a n="Owner">' in out(condor_history, HISTORY, "-xml", *asked)


def test_a_list_of_no_attributes_is_all_of_them() -> None:
    every = out(condor_history, HISTORY, "-jsonl")
    for names in ("", " , "):
        assert out(condor_history, HISTORY, "-jsonl", "-attributes", names) == every
