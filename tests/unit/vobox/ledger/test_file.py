"""A ledger that is damaged, or of another version or stream, is made again from the stream."""

import contextlib
import itertools
import sqlite3
from pathlib import Path
from threading import Timer

import pytest

from tests.support.fake_broker import FakeBroker, FakeTransport
from tests.support.schedd_parts import NOW, SCHEDD, Events, ScheddHarness, read_all_jobs
from thyme.errors import BrokerUnreachable
from thyme.protocol import codec
from thyme.protocol.job import JobId
from vobox.ledger.schema import TABLES, VERSION
from vobox.ledger.writer import ForeignLedger, Ledger
from vobox.rpc.types import Request
from vobox.schedd.main_loop import Schedd
from vobox.schedd.state import ScheddState, Settings
from vobox.server.query_service import QueryService

# --- damage -------------------------------------------------------------------------------------


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    if how == "garbage":
        path.write_bytes(b"this is no database " * 500)
    elif how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "holes":
        path.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
    elif how == "empty":
        path.write_bytes(b"")


@pytest.mark.parametrize("how", ["garbage", "cut", "holes", "empty"])
def test_a_damaged_ledger_is_kept_until_it_is_made_again(bench: ScheddHarness, how: str) -> None:
    e = Events()
    bench.submit(e.submit())
    bench.record(e.started())
    before = read_all_jobs(bench.ledger)
    bench.ledger.close()
    for suffix in ("-wal", "-shm"):
        Path(f"{bench.ledger.path}{suffix}").unlink(missing_ok=True)
    damage(bench.ledger.path, how)
    bench.ledger = Ledger(bench.ledger.path)  # restart() closes it
    aside = list(bench.directory.glob("ledger.db.damaged-*"))
    assert bool(aside) is (how != "empty")

    bench.restart()

    assert read_all_jobs(bench.ledger) == before
    assert list(bench.directory.glob("ledger.db.damaged-*")) == aside
    bench.ledger.delete_damaged()
    assert [path.name for path in bench.directory.glob("ledger.db.*")] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("offset", "x"), ("next_cluster", ""), ("marked", "1.5"), ("refused", "1"),
        ("checkpoints", "[[1"), ("checkpoints", "5"), ("age", "z"), ("age", "[1,[2]]"),
        ("refused", "[Infinity]"), ("age", "[" * 100_000), ("next_cluster", "-1"),
        ("next_cluster", str(2**63 - 1)), ("next_cluster", str(10**18)),
    ],
)  # fmt: skip
def test_a_ledger_with_a_value_that_cannot_be_is_damaged(
    bench: ScheddHarness, name: str, value: str
) -> None:
    """The schedd failed at each start, and did not end."""
    bench.submit(Events().submit())
    before = read_all_jobs(bench.ledger)
    bench.ledger.write_meta(name, value)
    bench.restart()
    assert read_all_jobs(bench.ledger) == before
    assert len(list(bench.directory.glob("ledger.db.damaged-*"))) == 1


def list_columns(path: Path) -> list[tuple[str, str, str]]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return [
            (table, name, kind)
            for table in TABLES
            for _place, name, kind, *_rest in db.execute(f"PRAGMA table_info({table})")
        ]


def test_a_ledger_with_a_value_of_another_type_is_damaged_in_every_column(
    bench: ScheddHarness,
) -> None:
    """SQLite stores any type in any column, and one such row stopped the schedd or all queries."""
    e = Events()
    bench.submit(e.submit())
    bench.record(e.started())
    bench.ledger.add_log(e.job, "a line")
    bench.ledger._db.execute("INSERT INTO changes(text) VALUES(x'5b5d')")
    before = read_all_jobs(bench.ledger)
    bench.ledger.close()
    for table, name, kind in list_columns(bench.ledger.path):
        if (table, name) in (("changes", "id"), ("dictionaries", "id"), ("waiting_log", "id")):
            continue  # rowids: SQLite itself refuses other types
        path = bench.directory / f"{table}.{name}.db"
        path.write_bytes(bench.ledger.path.read_bytes())
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
            value = "x'00ff'" if kind == "TEXT" else "'text'"
            assert db.execute(f"UPDATE OR IGNORE {table} SET {name}={value}").rowcount > 0

        with contextlib.closing(Ledger(path)) as ledger:
            assert list(ledger.read_queue()) == []
        assert len(list(bench.directory.glob(f"{path.name}.damaged-*"))) == 1, (table, name)
    bench.ledger = Ledger(bench.ledger.path)
    assert read_all_jobs(bench.ledger) == before


@pytest.mark.parametrize(
    "damage",
    [
        "DROP TABLE waiting_log", "DROP TRIGGER jobs_less", "DROP INDEX jobs_to_queue",
        "ALTER TABLE jobs ADD COLUMN other", "UPDATE counts SET number=number+1",
        "DELETE FROM counts", "UPDATE jobs SET status=0", "UPDATE jobs SET in_queue=2",
        "UPDATE meta SET value=CAST(x'ff' AS TEXT)",
    ],
)  # fmt: skip
def test_a_ledger_with_what_no_schedd_writes_is_damaged(bench: ScheddHarness, damage: str) -> None:
    bench.submit(Events().submit())
    before = read_all_jobs(bench.ledger)
    bench.ledger._db.execute(damage)
    bench.restart()
    assert read_all_jobs(bench.ledger) == before
    assert len(list(bench.directory.glob("ledger.db.damaged-*"))) == 1


def test_a_value_that_cannot_be_is_not_taken_over_from_another_version(
    bench: ScheddHarness,
) -> None:
    bench.submit(Events().submit())
    bench.ledger.write_meta("next_cluster", "x")
    bench.ledger._db.execute(f"PRAGMA user_version={VERSION - 1}")
    bench.restart()
    assert int(bench.ledger.read_meta("next_cluster", "1")) == 39


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE jobs SET ad=x'39391f'", "UPDATE jobs SET changes=7", "DELETE FROM dictionaries",
        "UPDATE jobs SET owner=CAST(x'ff' AS TEXT)",
    ],
)  # fmt: skip
def test_damage_that_a_query_finds_is_mended_by_the_running_schedd(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    """Every condor_q failed, also after a restart."""
    bench = ScheddHarness(tmp_path)
    bench.submit(Events().submit())
    before = read_all_jobs(bench.ledger)
    bench.close()
    with contextlib.closing(sqlite3.connect(bench.ledger.path, isolation_level=None)) as db:
        db.execute(damage)
    schedd = Schedd(bench.settings, lambda: FakeTransport(bench.broker), Ledger(bench.ledger.path))
    ledger = schedd._state.ledger
    queries = QueryService(
        ledger.path, SCHEDD, "", schedd.staleness, schedd.slot_ads, schedd.live_attributes,
        report_failure=schedd.report_query_failure,
    )  # fmt: skip
    answers = []

    def ready() -> None:
        request = Request("condor_q", ["-allusers", "-af", "Iwd"], "/", {}, 0, 0, "root")
        answers.append(queries.answer(request, NOW))
        if answers[-1].code == 0 or len(answers) > 2:
            schedd.stop()

    schedd.run(ready)

    assert [answer.code for answer in answers] == [1, 0]
    assert read_all_jobs(ledger) == before
    assert list(tmp_path.glob("ledger.db.damaged-*")) == []
    assert "is damaged: renamed to" in caplog.text
    ledger.close()


def test_a_ledger_is_made_again_once_in_a_schedds_life(tmp_path: Path) -> None:
    """What comes back at once is a fault of ours, and must not read the stream for ever."""
    bench = ScheddHarness(tmp_path)
    bench.submit(Events().submit())
    bench.close()
    schedd = Schedd(bench.settings, lambda: FakeTransport(bench.broker), Ledger(bench.ledger.path))
    ledger, rounds = schedd._state.ledger, itertools.count(1)

    def ready() -> None:
        if next(rounds) > 1:
            Timer(0.2, schedd.stop).start()
        schedd.report_query_failure(sqlite3.DatabaseError("a text in the ledger is damaged"))

    schedd.run(ready)

    assert next(rounds) == 3
    ledger.close()


@pytest.mark.parametrize("version", [VERSION - 1, VERSION + 1])
def test_a_ledger_of_another_version_is_kept_beside_the_new_one(
    bench: ScheddHarness, version: int
) -> None:
    bench.submit(Events().submit())
    before = read_all_jobs(bench.ledger)
    bench.ledger.write_meta("next_cluster", "99")
    bench.ledger._db.execute(f"PRAGMA user_version={version}")
    bench.ledger._db.execute("DROP TABLE jobs")

    bench.restart()

    assert read_all_jobs(bench.ledger) == before
    assert bench.ledger.read_meta("next_cluster", "1") == "99", "ids that were never in the stream"
    (former,) = bench.directory.glob(f"ledger.db.schema-{version}-*")
    db = sqlite3.connect(former)
    assert db.execute("SELECT count(*) FROM bodies").fetchone() == (1,)
    db.close()
    bench.ledger.delete_damaged()
    assert former.exists(), "the stream need not hold all of its jobs"


def test_a_schedd_deletes_a_damaged_ledger_when_it_has_read_the_stream(tmp_path: Path) -> None:
    first = ScheddHarness(tmp_path)
    first.submit(Events().submit())
    first.ledger._db.execute("PRAGMA user_version=0")
    first.close()
    ledger = Ledger(tmp_path / "ledger.db")
    assert len(list(tmp_path.glob("ledger.db.damaged-*"))) == 1
    schedd = Schedd(Settings(SCHEDD), lambda: FakeTransport(first.broker), ledger)

    schedd.run(schedd.stop)

    assert len(list(ledger.read_queue())) == 1
    assert list(tmp_path.glob("ledger.db.damaged-*")) == []
    ledger.close()


# --- another schedd -----------------------------------------------------------------------------


def test_a_schedd_of_another_name_is_refused_the_ledger(bench: ScheddHarness) -> None:
    bench.submit(Events().submit())
    state = Settings("vobox2"), bench.ledger
    with pytest.raises(ForeignLedger) as refused:
        ScheddState(*state)
    assert str(refused.value) == (
        f"{bench.ledger.path} is the ledger of the schedd 'vobox1.example.org', and this is "
        "'vobox2': start it with --name vobox1.example.org, or with another --spool"
    )


def test_a_ledger_that_has_read_nothing_is_nobodys(tmp_path: Path) -> None:
    with contextlib.closing(Ledger(tmp_path / "ledger.db")) as ledger:
        ledger.check_owner("vobox2")  # whose start failed then
        ledger.check_owner(SCHEDD)
        ledger.write_meta("offset", "0")
        with pytest.raises(ForeignLedger):
            ledger.check_owner("vobox2")


def test_a_ledger_on_a_path_that_cannot_be_one_is_an_error_and_stays(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").mkdir()
    with pytest.raises((sqlite3.Error, OSError)):
        Ledger(tmp_path / "ledger.db")
    assert (tmp_path / "ledger.db").is_dir()


def test_the_ledger_is_the_schedds_alone(bench: ScheddHarness) -> None:
    # it holds job messages, and these hold proxies
    assert bench.ledger.path.stat().st_mode & 0o077 == 0


# --- another stream -----------------------------------------------------------------------------


def test_a_ledger_of_another_stream_is_made_again_and_burns_its_cluster_ids(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = ScheddHarness(tmp_path)
    for proc in range(3):
        first.submit(Events(JobId(41, proc)).submit())
    first.close()

    second = ScheddHarness(tmp_path, FakeBroker())
    other = [Events(JobId(5, proc)).submit() for proc in range(3)]
    second.transport.record([codec.encode(each) for each in other])
    second.restart()

    assert list(read_all_jobs(second.ledger)) == ["5.0", "5.1", "5.2"]
    assert second.ledger.read_meta("next_cluster", "1") == "42"
    (kept,) = tmp_path.glob("ledger.db.other-stream-*")
    assert "the ledger is of another stream; rebuilding it" in caplog.messages
    assert f"another stream is kept as {kept}; delete it if nobody needs it" in caplog.text
    assert kept.stat().st_mode & 0o077 == 0
    with contextlib.closing(Ledger(kept)) as before:
        assert sorted(read_all_jobs(before)) == ["41.0", "41.1", "41.2"]
    second.close()


def _forget_first_record(bench: ScheddHarness) -> None:
    """As RabbitMQ does with records that are older than the stream's retention."""
    del bench.broker.stream[0]


@pytest.mark.parametrize("silent", [2, 5])
def test_a_broker_that_is_late_does_not_cost_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent: int
) -> None:
    bench = ScheddHarness(tmp_path)
    for proc in range(3):
        bench.submit(Events(JobId(777, proc)).submit())
    _forget_first_record(bench)
    read, calls = bench.transport.read, itertools.count()
    monkeypatch.setattr(
        bench.transport, "read",
        lambda after, limit: [] if next(calls) < silent else read(after, limit),
    )  # fmt: skip

    bench.restart()

    assert sorted(read_all_jobs(bench.ledger)) == ["777.0", "777.1", "777.2"]
    assert list(tmp_path.glob("ledger.db.*-*-*")) == []
    bench.close()


def test_a_broker_that_stays_silent_keeps_the_ledger_and_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = ScheddHarness(tmp_path)
    for proc in range(2):
        bench.submit(Events(JobId(777, proc)).submit())
    _forget_first_record(bench)
    with monkeypatch.context() as silent:
        silent.setattr(bench.transport, "read", lambda _after, _limit: [])
        silent.setattr(bench.transport, "wait", lambda _seconds: None)
        with pytest.raises(
            BrokerUnreachable, match="the event stream does not answer; the ledger is kept as it is"
        ):
            bench.restart()

    bench.restart()

    assert sorted(read_all_jobs(bench.ledger)) == ["777.0", "777.1"]
    bench.close()


def test_a_stream_of_the_same_length_with_other_contents_is_another_stream(tmp_path: Path) -> None:
    first = ScheddHarness(tmp_path)
    first.submit(Events(JobId(1, 0)).submit())
    first.close()
    second = ScheddHarness(tmp_path, FakeBroker())
    second.transport.record([codec.encode(Events(JobId(2, 0)).submit())])
    second.restart()
    assert list(read_all_jobs(second.ledger)) == ["2.0"]
    second.close()
