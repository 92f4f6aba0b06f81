"""Tables are cut to the width of the caller's terminal, and never in a pipe."""

import pytest

from tests.support.fake_query_queue import FakeQueue, ask, job
from vobox.commands.query.condor_history import answer as condor_history
from vobox.commands.query.condor_q import answer as condor_q
from vobox.commands.query.condor_status import answer as condor_status

from .test_condor_status_slots import POOL

QUEUE = FakeQueue(
    [job(1, Cmd="/bin/agent", Arguments="x" * 100), job(2, Cmd="/bin/true"), job(4, 0, 5)],
    left=[job(3, status=4, Cmd="/bin/agent", Arguments="x" * 100)],
)


def show(command: object, *argv: str, width: str = "") -> list[str]:
    """Return the lines that a user sees in a terminal of this width; "": in a pipe."""
    env = {"_THYME_TERMINAL_WIDTH": width} if width else {}
    return ask(command, QUEUE, *argv, env=env).stdout.splitlines()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("command", "argv"),
    [(condor_q, ["-nobatch"]), (condor_q, ["-idle"]), (condor_q, []), (condor_history, [])],
)
def test_rows_are_one_column_shorter_than_the_terminal(command: object, argv: list[str]) -> None:
    whole, cut = show(command, *argv), show(command, *argv, width="60")

    footer = next((i for i, line in enumerate(whole) if line.startswith("Total")), len(whole))
    title = next((i + 1 for i, line in enumerate(whole) if line.startswith("-- Schedd")), 0)
    assert cut[title:footer] == [line[:59] for line in whole[title:footer]]
    assert cut[:title] + cut[footer:] == whole[:title] + whole[footer:], "title and totals"
    assert max(map(len, whole)) > 60, "there was something to cut"


@pytest.mark.parametrize("width", ["", "0", "1", "no", "-5", "99999", "9" * 5000])
def test_without_a_width_nothing_is_cut(width: str) -> None:
    assert show(condor_q, "-nobatch", width=width) == show(condor_q, "-nobatch")


@pytest.mark.parametrize(
    "argv", [["-nobatch", "-wide"], ["-af", "Arguments"], ["-long"], ["-json"]]
)
def test_what_programs_read_and_wide_tables_are_whole(argv: list[str]) -> None:
    assert show(condor_q, *argv, width="40") == show(condor_q, *argv)


@pytest.mark.parametrize(
    ("argv", "columns"),
    [(["-nobatch", "-wide:25"], 24), (["-wide:19x"], 18), (["-wide:0"], 999),
     (["-hold", "-wide:20"], 999)],
)  # fmt: skip
def test_wide_with_a_number_means_a_terminal_of_so_many_columns(
    argv: list[str], columns: int
) -> None:
    whole, cut = show(condor_q, *argv[:-1], "-wide"), show(condor_q, *argv, width="40")

    footer = next(i for i, line in enumerate(whole) if line.startswith("Total"))
    title = next(i + 1 for i, line in enumerate(whole) if line.startswith("-- Schedd"))
    assert cut[title:footer] == [line[:columns] for line in whole[title:footer]]
    assert cut[:title] + cut[footer:] == whole[:title] + whole[footer:], "title and totals"


def test_wide_with_a_number_cuts_the_history_to_just_so_many_columns() -> None:
    whole, cut = show(condor_history, "-wide"), show(condor_history, "-wide:25", width="40")
    assert cut == [line[:25] for line in whole]


#: As HTCondor 25.14.1 prints it in terminals of so many columns.
STATUS_HEADINGS = {
    width: f"{'Name':<{left}} OpSys      Arch     State     Activity LoadAv {rest}"
    for width, left, rest in (
        ("", 34, "Mem     ActvtyTime"), ("100", 34, "Mem     ActvtyTime"),
        ("101", 34, "Mem    ActivityTime"), ("200", 34, "Mem    ActivityTime"),
        ("90", 24, "Mem     ActvtyTime"),
        ("80", 14, "Mem     ActvtyTime"), ("60", 12, ""),
    )
}  # fmt: skip


@pytest.mark.parametrize("width", STATUS_HEADINGS)
def test_names_of_slots_are_shortened_first(width: str) -> None:
    env = {"_THYME_TERMINAL_WIDTH": width} if width else {}
    waiting = FakeQueue(machines=[ad for ad in POOL.machines if ad.text("State") == "Unclaimed"])
    heading, _, *rows = ask(condor_status, waiting, env=env).stdout.splitlines()

    assert heading == STATUS_HEADINGS[width]
    left = heading.index("OpSys") - 1
    assert [row[:left].rstrip() for row in rows[:3]] == [
        name[:left] for name in ("slot1_9@node1.example.org", "slot1_10@node1.example.org",
                                 "slot1_1@node2")
    ]  # fmt: skip
    assert not width or max(map(len, rows[:2])) < int(width)
    assert rows[4] == (
        "               Total Owner Claimed Unclaimed Matched Preempting  Drain Backfill BkIdle"
    )


@pytest.mark.parametrize("option", ["-wide", "-wide:200"])
def test_a_wide_table_of_slots_has_the_whole_heading_and_narrow_totals(option: str) -> None:
    # as HTCondor 25.14.1
    machines = [ad for ad in POOL.machines if ad.text("Name").startswith("slot1_9@")]
    lines = ask(condor_status, FakeQueue(machines=machines), option).stdout.splitlines()

    assert lines[0].endswith(" LoadAv Mem    ActivityTime")
    assert len(lines[2]) == len(lines[0])
    assert lines[4:] == [
        "             Total Owner Claimed Unclaimed Matched Preempting  Drain Backfill BkIdle",
        "",
        "X86_64/LINUX     1     0       0         1       0          0      0        0      0",
        "",
        "       Total     1     0       0         1       0          0      0        0      0",
    ]


@pytest.mark.parametrize("argv", [["-wide"], ["-total"], ["-af", "Name"], ["-schedd", "-total"]])
def test_wide_tables_and_totals_of_condor_status_are_whole(argv: list[str]) -> None:
    env = {"_THYME_TERMINAL_WIDTH": "40"}
    assert ask(condor_status, POOL, *argv, env=env) == ask(condor_status, POOL, *argv)
