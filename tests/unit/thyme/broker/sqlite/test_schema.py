"""The database file of the embedded broker, opened by several processes at once."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from thyme.broker.sqlite import schema
from thyme.broker.sqlite.connection import Connection


@pytest.mark.parametrize("questions", range(4))
def test_another_process_may_make_the_tables_between_any_two_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, questions: int
) -> None:
    """A worker that started just then ended: "this is another program's database"."""
    path = str(tmp_path / "broker.db")
    connect, asked = sqlite3.connect, 0

    class SlowConnection(sqlite3.Connection):
        def execute(self, *words: object) -> sqlite3.Cursor:  # type: ignore[override]
            nonlocal asked
            if asked == questions:
                with monkeypatch.context() as plain:
                    plain.setattr(sqlite3, "connect", connect)
                    schema.open_database(path).close()
            asked += 1
            return super().execute(*words)  # type: ignore[arg-type]

    def connect_slowly(*words: object, **options: object) -> sqlite3.Connection:
        return connect(*words, **options, factory=SlowConnection)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr(sqlite3, "connect", connect_slowly)
    with contextlib.closing(schema.open_database(path)) as db:
        assert db.execute("SELECT count(*) FROM queue").fetchone() == (0,)
    assert asked > questions


def test_another_process_may_make_the_broker_after_the_first_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that started just then ended: "the file is gone"."""
    path = str(tmp_path / "broker.db")
    exists = Path.exists
    others: list[Connection] = []

    def look_slowly(place: Path) -> bool:
        found = exists(place)
        if not others:
            with monkeypatch.context() as plain:
                plain.setattr(Path, "exists", exists)
                others.append(Connection(path))
        return found

    monkeypatch.setattr(Path, "exists", look_slowly)
    Connection(path).close()
    monkeypatch.undo()
    (other,) = others
    other.close()
