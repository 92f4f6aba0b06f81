"""What was learned of idle periods survives restarts; a broken file costs no more than itself."""

import json
from pathlib import Path

import pytest

from plancton.daemon.idle_store import SAVE_INTERVAL, IdleStore
from plancton.model import History, IdleRecord, IdleSince
from plancton.policy.lifetime import AGES, WEEK_HOURS

WALL = 1.7e9
RECORD = IdleRecord(
    7.5, (1.0,) * len(AGES), (100.0,) * len(AGES), (0.5,) * WEEK_HOURS, (0.25,) * WEEK_HOURS
)
HISTORY = History(record=RECORD, idle=IdleSince((400.0, 900.0), 950.0))


@pytest.fixture
def store(tmp_path: Path) -> IdleStore:
    return IdleStore(tmp_path / "state" / "idle.json")


def test_it_is_the_same_after_a_restart_and_periods_went_on(store: IdleStore) -> None:
    store.save(HISTORY, 1000.0, WALL)
    # The monotonic clock of another boot begins again.
    found = store.load(History(), 30.0, WALL + 60)
    assert found.record == RECORD
    assert found.idle.since == (30.0 - 660, 30.0 - 160)
    assert found.idle.counted == 30.0 - 110


@pytest.mark.parametrize("gap", [1201.0, 86400.0, -1.0])
def test_after_a_long_time_nobody_knows_whether_a_period_went_on(
    store: IdleStore, gap: float
) -> None:
    store.save(HISTORY, 1000.0, WALL)
    found = store.load(History(), 2000.0, WALL + gap)
    assert (found.record, found.idle) == (RECORD, IdleSince())


def test_it_is_written_every_ten_minutes_and_no_temporary_file_stays(
    store: IdleStore, tmp_path: Path
) -> None:
    store.look(HISTORY, 0.0, WALL)
    store.look(HISTORY, SAVE_INTERVAL - 1, WALL)
    assert not (tmp_path / "state").exists()
    store.look(HISTORY, SAVE_INTERVAL, WALL)
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["idle.json"]


@pytest.mark.parametrize(
    "change",
    [{"version": 9}, {"ended": [1.0]}, {"watched": [-1.0] * len(AGES)}, {"ends": "many"},
     {"hour_ended": None}, {"ages": [None]}, {"wall": "x"}, {"ends": float("nan")},
     {"ends": 10**400}, {"wall": 10**400}],
)  # fmt: skip
def test_a_file_that_is_wrong_is_not_used(
    store: IdleStore, tmp_path: Path, change: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    store.save(HISTORY, 1000.0, WALL)
    path = tmp_path / "state" / "idle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert store.load(History(), 1000.0, WALL) == History()
    assert "learned again" in caplog.text


@pytest.mark.parametrize("text", ["", "[]", "{}", "\x00", "{" * 2_000_000, "[" * 100_000])
def test_a_file_that_is_no_record_is_not_used(store: IdleStore, tmp_path: Path, text: str) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "idle.json").write_text(text)
    assert store.load(History(), 1000.0, WALL) == History()


def test_a_directory_that_cannot_be_written_stops_nothing_and_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("a file")
    IdleStore(tmp_path / "state" / "idle.json").save(HISTORY, 1000.0, WALL)
    assert "state/idle.json: cannot be written: " in caplog.text
