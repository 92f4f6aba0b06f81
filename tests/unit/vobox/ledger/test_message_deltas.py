"""Messages that are stored as a difference from one like them come back to the byte."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.schedd_parts import Events
from thyme.protocol import codec
from thyme.protocol.job import JobId, SandboxFile, Task
from vobox.jobs.transitions import apply
from vobox.ledger.message_deltas import LARGEST, Bodies
from vobox.ledger.writer import Ledger
from vobox.schedd.health import describe_error

#: Pieces of messages, and what could be taken for the marks of a difference.
PIECES = st.sampled_from([b"{", b"x" * 9, b'"a":"1"', b'"a":"12"', b"", b"\x1f", b"3", b"\0"])
MESSAGES = st.builds(
    lambda pieces, end, rest: b",".join(pieces) + end + rest,
    st.lists(PIECES, max_size=8),
    st.sampled_from([b"\n", b"\n", b""]),
    st.sampled_from([b"", b"file,\n\x1f", b"other"]),
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "ledger.db")
    yield made
    made.close()


def bodies() -> Bodies:
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE bases(id INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL)")
    return Bodies(db)


@settings(max_examples=500, deadline=None)
@given(
    messages=st.lists(st.tuples(st.integers(1, 2), st.binary() | MESSAGES), min_size=1, max_size=9)
)
def test_whatever_is_stored_is_read_back(messages: list[tuple[int, bytes]]) -> None:
    store = bodies()

    stored = [store.written(template, body) for template, body in messages]

    assert [store.read(*each) for each in stored] == [body for _, body in messages]


@settings(max_examples=500, deadline=None)
@given(
    pieces=st.lists(PIECES, min_size=1, max_size=6),
    changes=st.lists(st.dictionaries(st.integers(0, 5), PIECES, max_size=3), max_size=8),
    rest=st.sampled_from([b"\n", b"\nfile,"]),
)
def test_whatever_differs_in_places_is_read_back(
    pieces: list[bytes], changes: list[dict[int, bytes]], rest: bytes
) -> None:
    store = bodies()
    messages = []
    for change in [{}, *changes]:
        own = [change.get(place, piece) for place, piece in enumerate(pieces)]
        own.insert(2, b"y" * 99)  # so that what differs is the less
        messages.append(b",".join(own) + rest)

    stored = [store.written(1, body) for body in messages]

    assert [store.read(*each) for each in stored] == messages
    if not any(b"\x1f" in body for body in messages):
        assert [number for number, _difference in stored] == [None] + [1] * len(changes)


def sent(proc: int, files: bytes = b"", arguments: tuple[str, ...] = ()) -> bytes:
    given_files = (SandboxFile("input", files),) if files else ()
    events = Events(JobId(7, proc), task=Task("/bin/sh", arguments, files=given_files))
    return codec.encode(events.submit())


def test_the_messages_of_a_cluster_share_one_base_and_their_files() -> None:
    store = bodies()
    messages = [sent(proc, bytes(range(256)) * 100) for proc in range(3)]

    first, second, third = (store.written(1, body) for body in messages)

    assert first == (None, messages[0])
    assert (second[0], third[0]) == (1, 1)
    assert len(second[1]) < 200 and len(third[1]) < 200
    assert [store.read(*each) for each in (first, second, third)] == messages


def test_the_same_message_twice_is_stored_once() -> None:
    store = bodies()
    body = sent(0)

    assert [store.written(1, body) for _ in range(2)] == [(None, body), (1, b"")]
    assert store.read(1, b"") == body


@pytest.mark.parametrize(
    "other",
    [
        sent(1, b"other files"),
        sent(1, arguments=("a,b", "c")),  # other pieces
        b'{"thyme":1}\n',
        b"no header",
        sent(1, bytes(LARGEST)) + bytes(LARGEST),  # too large to be kept in memory
    ],
)
def test_a_message_unlike_the_last_one_is_stored_as_it_is(other: bytes) -> None:
    store = bodies()
    store.written(1, sent(0))

    assert store.written(1, other) == (None, other)


def test_jobs_of_another_template_have_a_base_of_their_own() -> None:
    store = bodies()
    store.written(1, sent(0))

    assert store.written(2, sent(1)) == (None, sent(1))


def test_a_ledger_gives_back_the_messages_of_its_jobs_after_a_restart(tmp_path: Path) -> None:
    ledger, messages = Ledger(tmp_path / "ledger.db"), {}
    for proc in range(4):
        messages[proc] = put(ledger, proc)
    ledger.close()

    again = Ledger(tmp_path / "ledger.db")

    assert again._db.execute("SELECT count(*) FROM bodies WHERE base=1").fetchone() == (3,)
    assert {proc: again.body(JobId(7, proc), "task") for proc in range(4)} == messages
    again.close()


def put(ledger: Ledger, proc: int) -> bytes:
    with ledger.transaction():
        return put_inside(ledger, proc)


def test_a_base_that_was_made_in_an_undone_transaction_is_not_used_any_more(
    ledger: Ledger,
) -> None:
    first = put(ledger, 0)
    with pytest.raises(RuntimeError), ledger.transaction():
        put_inside(ledger, 1)
        ledger._flush()
        raise RuntimeError

    messages = [put(ledger, proc) for proc in (1, 2, 3)]

    assert [ledger.body(JobId(7, n), "task") for n in range(4)] == [first, *messages]


def put_inside(ledger: Ledger, proc: int) -> bytes:
    event = Events(JobId(7, proc)).submit()
    body, job = codec.encode(event), apply(None, event, ledger.ad_of).job
    assert job is not None
    ledger.put_body(job.id, "task", body)
    ledger.put(job)
    return body


def test_a_base_that_no_message_has_leaves_the_ledger(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    for proc in range(3):
        put(ledger, proc)
    ledger.close()
    ledger = Ledger(tmp_path / "ledger.db")  # what comes now has a base of its own
    for proc in range(3, 6):
        put(ledger, proc)
    for proc in range(3):
        ledger.drop_bodies(JobId(7, proc))

    ledger.forget_before(0.0)

    assert ledger._db.execute("SELECT id FROM bases").fetchall() == [(2,)]
    assert ledger.body(JobId(7, 4), "task") is not None
    ledger.close()


@pytest.mark.parametrize("damage", ["DELETE FROM bases", "UPDATE bodies SET body=x'39391f'"])
def test_a_ledger_with_a_message_that_cannot_be_made_again_is_made_again_at_the_next_start(
    ledger: Ledger, damage: str
) -> None:
    for proc in range(2):
        put(ledger, proc)
    ledger._db.execute(damage)

    with pytest.raises(sqlite3.DatabaseError, match="a message in the ledger is damaged") as told:
        ledger.body(JobId(7, 1), "task")

    assert describe_error(told.value, ledger.path.parent).endswith(
        "; restart thyme-schedd, it then makes the ledger again"
    )
    next_one = Ledger(ledger.path)
    assert next_one.in_queue() == []
    assert next_one.meta("offset", "-1") == "-1"
    next_one.close()
