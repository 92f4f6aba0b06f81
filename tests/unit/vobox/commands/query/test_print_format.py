"""What of -print-format the recorded answers of HTCondor do not have: files that are refused."""

import os
import time
from pathlib import Path

import pytest

from tests.support.fake_query_queue import Command, FakeQueue, ask, job
from vobox.commands.query import condor_history, condor_q, condor_status, print_format
from vobox.commands.query.renderers import format_date
from vobox.rpc.types import Answer

QUEUE = FakeQueue([job(1), job(2)], left=[job(3, status=4)])


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("Owner\n", "its first line has to be SELECT, not Owner"),
        ("SELECT\nOwner WIDTH\n", "expected number or AUTO after WIDTH"),
        ("SELECT\nOwner AS\n", "expected column name after AS"),
        ("SELECT\nOwner WIDTH 5000\n", "WIDTH 5000 is wider than 4096 characters"),
        ("SELECT\nOwner PRINTF '%d %d'\n", "it has more than one conversion, for one attribute"),
        (
            "SELECT\nX PRINTAS GRID_STATUS\n",
            "PRINTAS GRID_STATUS is not supported here: no ad has what it prints",
        ),
        ("SELECT FROM AUTOCLUSTER\n", "SELECT FROM is not supported here: jobs are not counted"),
        ("SELECT\nJOIN Other\n", "columns of JOIN are not supported here: JOIN Other"),
        ("SELECT\nSUMMARY ALL\n", "SUMMARY ALL is not supported here: STANDARD or NONE"),
        ("#" * 65537, "it has 65537 characters; at most 65536 are read"),
    ],
)
@pytest.mark.parametrize("command", [condor_q.answer, condor_history.answer, condor_status.answer])
def test_a_file_that_cannot_be_used_is_refused_with_one_line(
    command: Command, text: str, refusal: str, tmp_path: Path
) -> None:
    answer = show(command, tmp_path, text)
    assert answer.stderr == f"Error: -print-format {tmp_path}/form: {refusal}\n"
    assert (answer.stdout, answer.code) == ("", 1)


def show(command: Command, place: Path, text: str, *argv: str) -> Answer:
    path = place / "form"
    path.write_text(text)
    return ask(command, QUEUE, "-print-format", str(path), *argv, uid=os.geteuid())


def test_only_so_many_jobs_are_sorted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "SELECT BARE\nClusterId\nGROUP BY 9 - ClusterId\n"
    assert show(condor_q.answer, tmp_path, text, "-all").stdout == "2        \n1        \n"
    monkeypatch.setattr(print_format, "MAX_SORTED", 1)
    answer = show(condor_q.answer, tmp_path, text, "-all")
    assert answer.stderr == ("Error: -print-format: GROUP BY sorts at most 1 jobs; select fewer\n")
    assert (answer.stdout, answer.code) == ("", 1)


def test_it_is_no_addition_to_other_columns_and_whole_ads_win(tmp_path: Path) -> None:
    text = "SELECT BARE\nClusterId\n"
    answer = show(condor_q.answer, tmp_path, text, "-all", "-af", "ProcId")
    assert answer.stderr == "Error: -print-format together with -af or -format is not supported\n"
    assert show(condor_q.answer, tmp_path, text, "-all", "-json").stdout.startswith("[\n")
    answer = ask(condor_q.answer, QUEUE, "-print-format", "-")
    assert answer.stderr == "Error: -print-format -: the schedd reads it; name a file\n"


def test_columns_are_as_wide_as_htcondor_takes_their_values_for(tmp_path: Path) -> None:
    # 25.14.1: bytes of texts, and a real of any size as new ClassAds write it
    file = tmp_path / "columns"
    file.write_text(
        "SELECT FROM JOBS BARE\nTitle WIDTH AUTO\nTitle WIDTH 10\nTitle WIDTH 3 TRUNCATE\n"
        "Huge WIDTH AUTO\nHuge PRINTF '%.0e'\nHuge PRINTF '%d|'\n"
    )
    queue = FakeQueue([job(1, Title="häß€", Huge=1e300)])
    answer = ask(condor_q.answer, queue, "-all", "-print-format", str(file), uid=os.geteuid())
    assert answer.stdout == "häß€   häß€ hä 1E+300                 1e+300   0|\n"


def test_a_day_of_one_digit_is_followed_by_a_blank() -> None:
    # HTCondor: condor_q -format %Y 0*QDate prints " 1/1  00:00" in UTC
    assert format_date(time.mktime((2026, 1, 1, 0, 0, 0, 0, 0, -1))) == " 1/1  00:00"
    assert format_date(time.mktime((2026, 11, 28, 13, 5, 0, 0, 0, -1))) == "11/28 13:05"
