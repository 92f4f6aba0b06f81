"""The table of `make busy-hour`."""

import pytest

from tests.bench.busy_hour import show_growth


def show(last: int, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the words of the line of memory: 1000 KiB, and one more each 10 s."""
    rows: list[dict[str, float | str]] = [
        {"at": 10.0 * n, "process": "schedd", "anonymous_kib": 1000 + n, "files": 7, "threads": 2}
        for n in range(last // 10 + 1)
    ]
    show_growth(rows)
    return capsys.readouterr().out.splitlines()[1].split()


def test_an_hour_shows_growth_per_hour(capsys: pytest.CaptureFixture[str]) -> None:
    assert show(3600, capsys) == ["schedd", "anonymous_kib", "1030", "1120", "1357", "360.0"]


def test_minutes_show_neither_growth_nor_times_that_were_not_reached(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert show(290, capsys) == ["schedd", "anonymous_kib", "-", "-", "1026", "-"]
