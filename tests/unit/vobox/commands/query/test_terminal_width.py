"""Tables are cut to the width of the caller's terminal, and never in a pipe."""

from __future__ import annotations

import pytest

from tests.support.fake_query_queue import FakeQueue, ask, job
from vobox.commands.query.condor_history import answer as condor_history
from vobox.commands.query.condor_q import answer as condor_q

QUEUE = FakeQueue(
    [job(1, Cmd="/bin/agent", Arguments="x" * 100), job(2, Cmd="/bin/true")],
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
