"""The node's last day: the ring file of constant size, the sums, and the page."""

import logging
import os
import re
import xml.etree.ElementTree as ET
from datetime import timezone
from pathlib import Path

import pytest

from plancton.cli import main
from plancton.day_report import page, ring
from plancton.day_report.recorder import Recorder
from plancton.day_report.ring import ROWS, Minute, WrongFormat
from plancton.day_report.summary import summarise
from telemetry.points import Point

MINUTE = 30_000_000
NOW = MINUTE * 60.0
FULL = {"ncpus": 8.0, "owner_cpus": 2.0, "pilots_cpus": 4.5}


def at(minute: int, **values: float) -> Minute:
    return Minute(minute, {**FULL, **values})


# The ring


def test_what_is_written_is_read_in_order_and_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "day"
    ring.write_row(path, Minute(MINUTE, {"running": 3.0}))
    ring.write_row(path, Minute(MINUTE - 1, {"running": 2.0, "evicted": 1.0}))
    assert ring.read_rows(path, NOW) == [
        Minute(MINUTE - 1, {"running": 2.0, "evicted": 1.0}),
        Minute(MINUTE, {"running": 3.0}),
    ]


def test_the_file_never_grows_and_holds_one_day(tmp_path: Path) -> None:
    path = tmp_path / "day"
    ring.write_row(path, at(MINUTE - 2 * ROWS))
    size = path.stat().st_size
    for minute in range(MINUTE - ROWS - 10, MINUTE + 1):
        ring.write_row(path, at(minute))
    assert path.stat().st_size == size
    rows = ring.read_rows(path, NOW)
    assert (len(rows), rows[0].minute, rows[-1].minute) == (ROWS, MINUTE - ROWS + 1, MINUTE)


def test_rows_of_an_earlier_day_and_of_a_clock_that_was_ahead_are_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "day"
    ring.write_row(path, at(MINUTE - ROWS))
    ring.write_row(path, at(MINUTE + 5))
    ring.write_row(path, at(MINUTE - 7))
    assert [row.minute for row in ring.read_rows(path, NOW)] == [MINUTE - 7]


def test_a_file_of_another_version_is_replaced_and_not_misread(tmp_path: Path) -> None:
    path = tmp_path / "day"
    path.write_bytes(b'{"plancton-day": 0}' + b"x" * 200_000)
    with pytest.raises(WrongFormat, match="not a day file of this version"):
        ring.read_rows(path, NOW)
    ring.write_row(path, at(MINUTE))
    assert ring.read_rows(path, NOW) == [at(MINUTE)]


# The recorder


def node(time: float, **fields: float) -> Point:
    return Point("plancton_node", {}, fields, time)


def pilots(time: float, **fields: float) -> Point:
    return Point("plancton_pilots", {}, fields, time)


def test_a_minute_is_the_mean_of_its_gauges_and_the_sum_of_its_counts(tmp_path: Path) -> None:
    path = tmp_path / "state" / "day"
    recorder = Recorder(path)
    recorder.take([node(NOW, owner_cpus=1.0), pilots(NOW, running=4, started=2)])
    recorder.take([node(NOW + 30, owner_cpus=2.0), pilots(NOW + 30, running=6, started=3)])
    recorder.take(
        [
            Point(
                "plancton_evictions",
                {"reason": "owner"},
                {"count": 2, "cpu_seconds": 9.0},
                NOW + 30,
            )
        ]
    )
    assert not path.exists(), "the minute is not over"
    recorder.take([node(NOW + 60, owner_cpus=5.0)])
    (row,) = ring.read_rows(path, NOW + 60)
    assert row.values == {
        "owner_cpus": 1.5, "running": 5.0, "started": 5.0, "evicted": 2.0, "evicted_owner": 2.0,
        "evicted_cpu_seconds": 9.0,
    }  # fmt: skip
    recorder.flush()
    assert ring.read_rows(path, NOW + 60)[-1].values == {"owner_cpus": 5.0}


def test_what_was_counted_before_a_restart_in_the_same_minute_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "day"
    for at, cpus in ((NOW, 1.0), (NOW + 30, 2.0)):
        daemon = Recorder(path)
        daemon.take([node(at, owner_cpus=cpus), pilots(at, started=2)])
        daemon.flush()
    (row,) = ring.read_rows(path, NOW + 60)
    assert row.values == {"owner_cpus": 2.0, "started": 4.0}
    daemon = Recorder(path)
    daemon.take([node(NOW + 45, pilots_cpus=3.0)])
    daemon.flush()
    (row,) = ring.read_rows(path, NOW + 60)
    assert row.values == {"owner_cpus": 2.0, "started": 4.0, "pilots_cpus": 3.0}


def test_a_file_that_was_cut_off_is_filled_again(tmp_path: Path) -> None:
    path = tmp_path / "day"
    ring.write_row(path, ring.Minute(1, {"started": 1.0}))
    os.truncate(path, 600)
    ring.write_row(path, ring.Minute(1, {"started": 2.0}))
    assert ring.read_rows(path, 60.0)[-1].values["started"] == 2.0


def test_a_disk_that_is_full_is_reported_once_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("a file where the directory should be")
    recorder = Recorder(tmp_path / "state" / "day")
    with caplog.at_level(logging.ERROR):
        for minute in range(3):
            recorder.take([node(NOW + 60 * minute, owner_cpus=1.0)])
        recorder.flush()
    assert len(caplog.records) == 1
    assert "cannot be written" in caplog.text


# What it comes to


def test_core_hours_are_summed_over_the_minutes_that_are_known() -> None:
    rows = [at(MINUTE - n, evicted=1.0, ended_failure=2.0) for n in range(60)]
    rows.append(Minute(MINUTE - 100, {"running": 1.0}))
    found = summarise(rows)
    assert (found.owner, found.harvested, found.idle) == pytest.approx((2.0, 4.5, 1.5))
    assert found.share == pytest.approx(0.75)
    assert (found.evicted, found.failed, found.ended, found.minutes) == (60, 120, 120, 61)


def test_why_pilots_were_evicted_and_what_the_owner_felt() -> None:
    one = {"evicted": 3.0, "evicted_owner": 2.0, "evicted_max_ttl": 1.0, "owner_squeezed": 1.5}
    found = summarise([at(MINUTE - n, evicted_cpu_seconds=1800.0, **one) for n in range(4)])
    assert dict(found.reasons) == {"owner": 8, "max_ttl": 4}
    assert (found.unfinished, found.squeezed) == (2.0, 6.0)
    text = page.render_page([at(MINUTE, **one)], "farm7", "day", NOW, timezone.utc)
    assert "3 in all, by reason: owner 2, max_ttl 1." in text
    assert "They took 2 CPU-minutes from the owner." in text
    assert "not known</text>" in text, "the rest of the day"
    # 3 minutes of 2400 CPU seconds of finished pilots are two core-hours
    rows = [at(MINUTE - n, finished_cpu_seconds=2400.0, **one) for n in range(3)]
    assert summarise(rows).finished == 2.0
    text = page.render_page(rows, "farm7", "day", NOW, timezone.utc)
    assert "left: 2.0 in pilots that finished, 0.0 in pilots that were evicted" in text
    assert summarise([at(MINUTE)]).finished is None, "not known"
    assert "felt is not known" in page.render_page([at(MINUTE)], "farm7", "day", NOW, timezone.utc)


def test_nothing_known_is_not_zero() -> None:
    found = summarise([Minute(MINUTE, {"running": 1.0})])
    assert (found.owner, found.harvested, found.idle, found.share) == (None, None, None, None)


# The page


def test_the_page_refers_to_nothing_outside_of_itself_and_shows_the_figures() -> None:
    rows = [at(MINUTE - n, running=4.0, mem_total=8e9, mem_available=2e9, pilots_mem=4e9)
            for n in range(120)]  # fmt: skip
    made = page.render_page(rows, "node1", "/state/day", NOW, timezone.utc)
    assert not re.search(r"(?:src|href)=|url\(|@import", made)
    assert "Pilots used 9.0 core-hours, 75% of what the owner left" in made
    assert "120 of 1440 minutes are known" in made
    for svg in re.findall(r"<svg.*?</svg>", made, re.DOTALL):
        ET.fromstring(svg)  # noqa: S314
    assert len(re.findall(r'<path class="pilots"', made)) == 2, "CPU and memory, without a gap"


def test_a_gap_is_a_gap_in_the_picture() -> None:
    rows = [at(MINUTE - n) for n in [*range(10), *range(60, 70)]]
    made = page.render_page(rows, "node1", "x", NOW, timezone.utc)
    assert len(re.findall(r'<path class="owner"', made)) == 2


def test_a_node_name_cannot_break_the_page() -> None:
    made = page.render_page([at(MINUTE)], "<script>x", "/a&b", NOW, timezone.utc)
    assert "<script>x" not in made
    assert "/a&amp;b" in made


# The command


def call(tmp_path: Path, *words: str) -> int:
    return main.main(["--rundir", str(tmp_path / "run"), "report", *words])


def test_a_node_without_a_day_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(tmp_path) == 1
    told = capsys.readouterr().err
    assert told.startswith("planctonctl: ") and "no day was recorded" in told


def test_the_report_is_written_where_it_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run" / "state" / "day.ring"
    path.parent.mkdir(parents=True)
    monkeypatch.setattr("time.time", lambda: NOW)
    ring.write_row(path, at(MINUTE))
    assert call(tmp_path, "--output", str(tmp_path / "page.html")) == 0
    assert capsys.readouterr().out == f"wrote {tmp_path}/page.html\n"
    assert call(tmp_path, "--output", "-") == 0
    assert capsys.readouterr().out == (tmp_path / "page.html").read_text()
    assert call(tmp_path, "--output", str(tmp_path / "none" / "page.html")) == 1
    assert "cannot be written: No such file" in capsys.readouterr().err
    path.write_bytes(b"rubbish")
    assert call(tmp_path) == 1
    assert "not a day file of this version" in capsys.readouterr().err
