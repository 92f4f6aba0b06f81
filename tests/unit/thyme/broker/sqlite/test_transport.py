"""What is particular to the embedded broker: its files, and who is believed to live."""

import contextlib
import errno
import fcntl
import gc
import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from thyme.broker import Mail, Retention, connect
from thyme.broker.sqlite import connection
from thyme.broker.sqlite import transport as sqlite_transport
from thyme.broker.sqlite.process_locks import ProcessLock
from thyme.errors import BrokerRefused, BrokerUnreachable


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_broker_that_cannot_be_opened_leaves_no_file_open_and_no_lock_held(
    tmp_path: Path,
) -> None:
    (tmp_path / "broker.db").write_bytes(b"no database " * 100)
    gc.collect()  # else files that other tests left open are closed meanwhile
    before = open_files()

    for _ in range(3):
        with pytest.raises(BrokerRefused, match="file is not a database"):
            connect(f"sqlite://{tmp_path}/broker.db")

    assert open_files() == before
    assert [path.name for path in tmp_path.iterdir()] == ["broker.db"], "nothing is made beside it"


@pytest.mark.parametrize("kind", [os.mkfifo, lambda path: path.symlink_to("/dev/null")])
def test_a_broker_that_is_no_file_is_refused(tmp_path: Path, kind: Callable[[Path], None]) -> None:
    kind(tmp_path / "broker.db")
    with pytest.raises(BrokerRefused, match="file is not a database"):
        connect(f"sqlite://{tmp_path}/broker.db")
    assert [path.name for path in tmp_path.iterdir()] == ["broker.db"]


@pytest.mark.parametrize("value", ["'text'", "7", "x'ff'", "CAST(x'ff41' AS TEXT)"])
@pytest.mark.parametrize("table", ["stream", "queue", "mail"])
def test_a_damaged_row_is_one_message_that_cannot_be_read(
    tmp_path: Path, table: str, value: str
) -> None:
    """It ended every worker that took it, and kept the schedd from starting."""
    path = tmp_path / "broker.db"
    broker = connect(f"sqlite://{path}")
    broker.open_inbox("me")
    broker.submit("pool", [b"first", b"second"])
    for body in (b"first", b"second"):
        broker.send("me", Mail(body, "you", "1"))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        for _place, name, kind, *_rest in db.execute(f"PRAGMA table_info({table})").fetchall():
            if kind != "INTEGER" and name not in ("pool", "inbox", "owner"):
                which = f"rowid=(SELECT min(rowid) FROM {table})"
                db.execute(f"UPDATE {table} SET {name}={value} WHERE {which}")

    records = broker.read(-1, 10)
    taken = [broker.take("pool"), broker.take("pool")]
    mail = [broker.receive(), broker.receive()]

    assert all(isinstance(each.body, bytes) for each in (*records, *taken, *mail) if each)
    assert all(isinstance(each.key, str) and isinstance(each.time, float) for each in records)
    assert [each and each.body for each in (records[1], taken[1], mail[1])] == [b"second"] * 3
    broker.close()


def test_a_broker_whose_lock_cannot_be_made_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "broker.db.turn").mkdir()
    gc.collect()  # what other tests left
    before = open_files()

    with pytest.raises(BrokerRefused, match="cannot use the broker"):
        connect(f"sqlite://{tmp_path}/broker.db")

    assert open_files() == before
    assert list((tmp_path / "broker.db.connections").iterdir()) == []


def test_a_broker_whose_disk_is_full_is_waited_for(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(BrokerUnreachable, match=r"disk I/O error|disk is full"):
            connect(f"sqlite://{tmp_path}/broker.db")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    connect(f"sqlite://{tmp_path}/broker.db").close()


@pytest.mark.parametrize(
    ("number", "error"), [(errno.ENOSPC, BrokerUnreachable), (errno.EACCES, BrokerRefused)]
)
def test_a_lock_that_cannot_be_made_now_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception]
) -> None:
    def fail(_path: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("thyme.broker.sqlite.connection.ProcessLock", fail)

    with pytest.raises(error, match=os.strerror(number)):
        connect(f"sqlite://{tmp_path}/broker.db")


#: A process that stops itself in the middle of a transaction.
STOPS = """
import os, signal, sys
from thyme.broker.sqlite.connection import Connection
with Connection(sys.argv[1]).writing(durable=True) as db:
    os.kill(os.getpid(), signal.SIGSTOP)
    db.execute("INSERT INTO stream(time, body, key) VALUES(9e9, ?, '')", (b"the other's",))
"""


def test_a_process_that_was_stopped_while_it_wrote_does_not_hang_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "broker.db"
    broker = connect(f"sqlite://{path}")
    monkeypatch.setattr(connection, "BUSY_TIMEOUT", 0.2)
    with subprocess.Popen([sys.executable, "-c", STOPS, path]) as stopped:
        try:
            os.waitid(os.P_PID, stopped.pid, os.WSTOPPED)
            with pytest.raises(BrokerUnreachable) as raised:
                broker.record([b"ours"])
            assert str(raised.value) == (
                f"broker {path}: another process has been writing for 0.2 s; is it stopped? "
                f"`lslocks` names it, with {path}.turn; let it go on, or kill it"
            )
            assert broker.read(-1, 10) == []  # who only reads need not wait

            stopped.send_signal(signal.SIGCONT)
            assert stopped.wait(30.0) == 0
        finally:
            stopped.kill()

    broker.record([b"ours"])
    assert [record.body for record in broker.read(-1, 10)] == [b"the other's", b"ours"]
    broker.close()


def test_records_that_are_too_old_are_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_transport, "TRIM_INTERVAL", 0.0)
    broker = connect(f"sqlite://{tmp_path}/broker.db")
    broker.record([b"1", b"2", b"3"])
    with sqlite3.connect(tmp_path / "broker.db") as db:
        db.execute("UPDATE stream SET time=time-? WHERE offset<3", (7 * 86400.0 + 60,))

    broker.record([b"4"])

    assert [(r.offset, r.body) for r in broker.read(-1, 10)] == [(3, b"3"), (4, b"4")]
    assert broker.get_retention() == Retention(604800.0, 20_000_000_000.0)
    broker.close()


def test_the_oldest_records_are_deleted_where_the_file_is_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_transport, "TRIM_INTERVAL", 0.0)
    monkeypatch.setattr(sqlite_transport, "TRIM_RECORDS", 5)
    monkeypatch.setattr(sqlite_transport, "RETENTION", Retention(1e9, 1_000_000))
    broker = connect(f"sqlite://{tmp_path}/broker.db")
    broker.submit("pool", [b"a job"])
    for _ in range(300):
        broker.record([os.urandom(20_000)])

    kept = broker.read(-1, 1000)

    assert 30 <= len(kept) <= 55 and kept[-1].offset == 301
    assert (tmp_path / "broker.db").stat().st_size < 1_500_000
    assert broker.count_ready("pool") == 1, "the queue stays"
    broker.close()


def test_a_closed_broker_leaves_nothing_open(tmp_path: Path) -> None:
    gc.collect()  # else files that other tests left open are closed meanwhile
    before = open_files()
    broker = connect(f"sqlite://{tmp_path}/broker.db")
    broker.submit("pool", [b"x"])

    broker.close()

    assert open_files() == before


def test_what_carries_proxies_is_for_its_owner_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        broker = connect(f"sqlite://{tmp_path}/broker.db")
        broker.submit("pool", [b"x"])
    finally:
        os.umask(old)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) & 0o077 for path in tmp_path.iterdir()}
    assert set(modes) >= {"broker.db", "broker.db-wal", "broker.db-shm", "broker.db.connections"}
    assert set(modes.values()) == {0}
    broker.close()


def test_two_that_look_at_once_do_not_take_each_other_for_the_owner(tmp_path: Path) -> None:
    mine = ProcessLock(tmp_path)
    dead = tmp_path / "1-dead"
    dead.touch()
    with dead.open("rb+") as looked_at:
        fcntl.flock(looked_at, fcntl.LOCK_SH)  # as another process that looks just now

        assert mine.is_alive("1-dead") is False

    assert not dead.exists()
    mine.release()


def test_one_that_was_stopped_while_it_looked_does_not_hang_who_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking: list[int] = []
    real = fcntl.flock

    def flock(handle: int, how: int) -> None:
        if not looking:  # it came first
            (file,) = tmp_path.iterdir()
            looking.append(os.open(file, os.O_RDWR))
            real(looking[0], fcntl.LOCK_SH)
        real(handle, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    begun = ProcessLock(tmp_path)
    os.close(looking[0])

    other = ProcessLock(tmp_path)
    assert other.is_alive(begun.name)
    begun.release()
    other.release()


def test_the_living_are_seen_and_the_ended_are_not(tmp_path: Path) -> None:
    one, other = ProcessLock(tmp_path), ProcessLock(tmp_path)

    assert one.is_alive(other.name)
    assert one.is_alive(one.name)
    other.release()
    assert not one.is_alive(other.name)
    one.release()
    assert list(tmp_path.iterdir()) == []


def test_mail_comes_in_the_order_it_was_sent_however_much(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/broker.db"
    reader, writer = connect(url), connect(url)
    reader.open_inbox("reader")
    sent = [b"%d" % n for n in range(250)]
    for body in sent:
        assert writer.send("reader", Mail(body))

    received = []
    while (mail := reader.receive()) is not None:
        received.append(mail.body)

    assert received == sent
    reader.close()
    writer.close()


def test_a_broker_whose_file_was_taken_away_is_not_replaced_by_an_empty_one(tmp_path: Path) -> None:
    connect(f"sqlite://{tmp_path}/broker.db").close()
    (tmp_path / "broker.db").unlink()

    with pytest.raises(BrokerRefused) as refused:
        connect(f"sqlite://{tmp_path}/broker.db")

    assert "the file is gone; put it back, or remove " in str(refused.value)
    assert "broker.db.connections too to begin with an empty broker" in str(refused.value)
    assert not (tmp_path / "broker.db").exists()


def test_a_broker_whose_file_was_replaced_is_noticed(tmp_path: Path) -> None:
    broker = connect(f"sqlite://{tmp_path}/broker.db")
    (tmp_path / "broker.db").rename(tmp_path / "away")
    (tmp_path / "broker.db").touch()

    with pytest.raises(BrokerUnreachable, match="the file was replaced"):
        broker.take("alien_jobs")

    broker.close()
