"""Ads and messages come back from the ledger as they were, and take little room."""

import contextlib
import random
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.schedd_parts import Events
from thyme.protocol import codec
from thyme.protocol.job import JobId, SandboxFile, Task
from vobox.classad.ad import Ad
from vobox.jobs.transitions import apply
from vobox.ledger.compression import LARGEST, LARGEST_CHANGES, WINDOW, Compressor, Dictionaries
from vobox.ledger.snapshot import LedgerSnapshot
from vobox.ledger.stored_ad import StoredAd, encode_ad
from vobox.ledger.write_buffer import MANY
from vobox.ledger.writer import Ledger
from vobox.schedd.health import describe_error


def compressor() -> Compressor:
    db = sqlite3.connect(":memory:")
    for table in ("dictionaries", "changes"):
        db.execute(f"CREATE TABLE {table}(id INTEGER PRIMARY KEY, text BLOB NOT NULL)")
    return Compressor(db)


# --- texts --------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.binary()
            | st.integers(0, 60_000).map(lambda size: random.Random(size).randbytes(size)),
        ),
        min_size=1,
        max_size=9,
    )
)
def test_whatever_is_compressed_comes_back(texts: list[tuple[str, bytes]]) -> None:
    made = compressor()
    stored = [made.compress(("ad", whose), text) for whose, text in texts]
    assert [made.decompress(*each) for each in stored] == [text for _whose, text in texts]
    # another connection, or another start, has read none of the dictionaries yet
    reader = Dictionaries(made._db)
    assert [reader.decompress(*each) for each in stored] == [text for _whose, text in texts]


def sent(proc: int, files: bytes = b"") -> bytes:
    given_files = (SandboxFile("input", files),) if files else ()
    events = Events(JobId(7, proc), task=Task("/bin/sh", files=given_files))
    return codec.encode(events.submit())


def test_messages_that_are_alike_take_little_room_with_their_files() -> None:
    made, files = compressor(), random.Random(1).randbytes(20_000)
    stored = [made.compress(("task", "alice"), sent(proc, files)) for proc in range(50)]
    assert {number for number, _data in stored} == {1}
    assert max(len(data) for _number, data in stored) < 300


def test_texts_of_two_sorts_that_take_turns_share_one_dictionary() -> None:
    made, dice = compressor(), random.Random(1)
    sorts = [dice.randbytes(2000), dice.randbytes(3000)]
    stored = [made.compress(("ad", "alice"), b"%d" % n + sorts[n % 2]) for n in range(20)]
    assert {number for number, _data in stored} == {1, 2}
    assert max(len(data) for _number, data in stored) < 100


@pytest.mark.parametrize("size", [WINDOW + 1, LARGEST + 1])
def test_large_files_that_nothing_is_like_are_stored_as_they_are(size: int) -> None:
    made, text = compressor(), random.Random(1).randbytes(size)
    assert made.compress(("task", "alice"), text) == (None, text)


# --- ads ----------------------------------------------------------------------------------------

NAMES = st.sampled_from(
    ["Cmd", "cmd", "CMD", "JobStatus", "WantMyWay", 'a"b', 'b":"x', "b", "é", "is", "\udce9"]
)
TEXTS = st.sampled_from(
    ["1", '"a"', '"\\"cmd\\":\\"x\\""', '"cmd":"', 'a"b":"c', "\n", "", "\udce9\u2028", "a && b"]
)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.tuples(NAMES, TEXTS), max_size=8),
    st.lists(st.tuples(NAMES, TEXTS), max_size=3),
    st.lists(NAMES, max_size=4),
)
def test_a_stored_ad_is_the_ad(
    written: list[tuple[str, str]], changes: list[tuple[str, str]], asked: list[str]
) -> None:
    ad = Ad()
    for name, text in written:
        ad[name] = text
    made = compressor()
    stored = StoredAd(made, (None, *made.compress(("ad", ""), encode_ad(ad))))
    for name in asked:
        assert stored.get(name) == ad.get(name)
        assert (name in stored) is (name in ad)
    for name, text in changes:
        ad[name] = stored[name] = text
        assert [stored.get(name) for name in asked] == [ad.get(name) for name in asked]
    assert list(stored.pairs()) == list(ad.pairs())
    for name in asked:
        assert stored.get(name) == ad.get(name)
        if name in ad:
            del ad[name], stored[name]
    assert stored.texts() == ad.texts()


#: Set this attribute to the text, or delete it (None).
STEPS = st.lists(st.tuples(NAMES, st.one_of(st.none(), TEXTS)), max_size=8)


def change(ad: Ad, steps: list[tuple[str, str | None]]) -> None:
    for name, text in steps:
        if text is not None:
            ad[name] = text
        elif name in ad and len(ad) % 2:
            del ad[name]
        else:
            text = ad.get(name)
            assert ad.pop(name, None) == text
            assert ad.pop(name, "gone") == "gone"
            with pytest.raises(KeyError):
                ad.pop(name)


@settings(max_examples=500, deadline=None)
@given(STEPS, st.lists(STEPS, max_size=4), STEPS, st.lists(NAMES, max_size=4))
def test_a_stored_ad_with_changes_is_the_changed_ad(
    first: list[tuple[str, str | None]],
    stored_changes: list[list[tuple[str, str | None]]],
    last: list[tuple[str, str | None]],
    asked: list[str],
) -> None:
    ad, made = Ad(), compressor()
    change(ad, first)
    row = (None, *made.compress(("ad", ""), encode_ad(ad)))
    for steps in stored_changes:
        former = StoredAd(made, row)
        stored = former.copy()
        assert isinstance(stored, StoredAd)
        change(stored, steps)
        assert former.texts() == ad.texts(), "the copy is another one"
        change(ad, steps)
        if stored.find_changed() is None:
            row = (None, *made.compress(("ad", ""), encode_ad(stored)))
        else:
            row = (made.store_changes(stored.merge_changes()), *row[1:])
        made.forget()  # what is read again is what was written
    stored = StoredAd(made, row)
    change(stored, last)
    change(ad, last)
    assert [stored.get(name) for name in asked] == [ad.get(name) for name in asked]
    assert list(stored.copy().pairs()) == list(stored.pairs()) == list(ad.pairs())


# --- in the ledger ------------------------------------------------------------------------------


def put(ledger: Ledger, proc: int) -> bytes:
    with ledger.transaction():
        return put_inside(ledger, proc)


def put_inside(ledger: Ledger, proc: int) -> bytes:
    event = Events(JobId(7, proc)).submit()
    body, job = codec.encode(event), apply(None, event).job
    assert job is not None
    ledger.put_body(job.id, "task", body)
    ledger.put(job)
    return body


def test_a_ledger_gives_back_the_messages_of_its_jobs_after_a_restart(tmp_path: Path) -> None:
    ledger, messages = Ledger(tmp_path / "ledger.db"), {}
    for proc in range(4):
        messages[proc] = put(ledger, proc)
    ledger.close()
    again = Ledger(tmp_path / "ledger.db")
    assert {proc: again.read_body(JobId(7, proc), "task") for proc in range(4)} == messages
    again.close()


def test_a_dictionary_that_was_made_in_an_undone_transaction_is_not_used(ledger: Ledger) -> None:
    with pytest.raises(RuntimeError), ledger.transaction():
        put_inside(ledger, 0)
        ledger._flush()
        raise RuntimeError
    messages = [put(ledger, proc) for proc in range(3)]
    assert [ledger.read_body(JobId(7, proc), "task") for proc in range(3)] == messages
    assert [job.id.proc for job in ledger.read_queue()] == [0, 1, 2]


def test_a_dictionary_that_nothing_uses_leaves_the_ledger(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    put(ledger, 0)
    ledger.close()
    ledger = Ledger(tmp_path / "ledger.db")  # what comes now has dictionaries of its own
    put(ledger, 1)
    ledger.delete_bodies(JobId(7, 0))

    def dictionaries() -> list[int]:
        return [number for (number,) in ledger._db.execute("SELECT id FROM dictionaries")]

    assert len(dictionaries()) == 4
    ledger.trim_history(0.0)
    assert len(dictionaries()) == 3, "the message's, which may hold a proxy"
    assert ledger.read_body(JobId(7, 1), "task") is not None
    assert [job.ad.text("Owner") for job in ledger.read_queue()] == ["games", "games"]
    ledger.close()


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM dictionaries",
        "UPDATE bodies SET body=x'39391f'",
        "UPDATE jobs SET ad=x'39391f'",
    ],
)
def test_a_ledger_with_a_text_that_is_damaged_is_made_again_at_the_next_start(
    tmp_path: Path, damage: str
) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    for proc in range(2):
        put(ledger, proc)
    ledger.write_meta("next_cluster", "8")
    ledger.close()
    ledger = Ledger(tmp_path / "ledger.db")
    ledger._db.execute(damage)

    with pytest.raises(sqlite3.DatabaseError, match="a text in the ledger is damaged") as told:
        for job in ledger.read_queue():
            ledger.read_body(job.id, "task")
            job.ad.text("Owner")

    assert describe_error(told.value, ledger.path.parent).endswith(
        "; restart thyme-schedd, it then makes the ledger again"
    )
    ledger.close()
    next_one = Ledger(ledger.path)
    assert list(next_one.read_queue()) == []
    assert next_one.read_meta("offset", "-1") == "-1"
    assert next_one.read_meta("next_cluster", "1") == "8"
    assert len(list(tmp_path.glob("ledger.db.damaged-*"))) == 1
    next_one.close()


def put_many(ledger: Ledger, name: str, text: str, jobs: int = MANY) -> None:
    """Change an attribute of these jobs in one transaction, each in a copy of its ad."""
    with ledger.transaction():
        for proc in range(jobs):
            job = ledger.get(JobId(7, proc))
            assert job is not None
            job = replace(job, ad=job.ad.copy())
            job.ad[name] = text
            ledger.put(job)


def reopen(ledger: Ledger) -> Ledger:
    """Close a ledger and open it again: nothing of it is in memory any more."""
    ledger.close()
    return Ledger(ledger.path)


def count_changes(ledger: Ledger) -> list[int]:
    """Return how many changes there are, and how many jobs name one."""
    queries = ("SELECT count(*) FROM changes", "SELECT count(changes) FROM jobs")
    return [int(ledger._db.execute(query).fetchone()[0]) for query in queries]


def test_what_changes_in_many_ads_alike_is_stored_once(ledger: Ledger) -> None:
    for proc in range(MANY + 1):
        put(ledger, proc)
    ledger = reopen(ledger)
    texts = [ledger.get(JobId(7, proc)).ad.texts() for proc in range(MANY + 1)]  # type: ignore[union-attr]

    for number, jobs in enumerate((MANY, MANY, MANY - 1)):
        ledger = reopen(ledger)
        put_many(ledger, f"Tag{number}", f'"{number}"', jobs)
        for proc in range(jobs):
            texts[proc][f"Tag{number}"] = f'"{number}"'
        assert count_changes(ledger) == [[1, MANY], [2, MANY], [2, 1]][number]
        ledger = reopen(ledger)
        found = [ledger.get(JobId(7, proc)).ad.texts() for proc in range(MANY + 1)]  # type: ignore[union-attr]
        assert found == texts, number
    ledger.close()


def test_a_new_state_leaves_each_ad_as_it_is_stored(ledger: Ledger) -> None:
    for proc in range(2 * MANY + 2):
        put(ledger, proc)
    ledger = reopen(ledger)
    put_many(ledger, "A", "1", MANY + 2)  # stored once, for these
    put_many(ledger, "B", "2", 2)  # stored in the ads of these
    for _ in range(2):
        with ledger.transaction():
            for proc in range(2 * MANY):
                job = ledger.get(JobId(7, proc))
                assert job is not None
                ledger.put(replace(job, version=job.version + 1, ad=job.ad.copy()))
        ledger = reopen(ledger)
    found = [(job.version, *job.ad.get_all(("A", "B"))) for job in ledger.read_queue()]
    assert found[:2] == [(2, "1", "2")] * 2
    assert found[2 : MANY + 2] == [(2, "1", None)] * MANY
    assert found[MANY + 2 :] == [(2, None, None)] * (MANY - 2) + [(0, None, None)] * 2
    ledger.close()


def test_changes_that_no_job_names_are_deleted(ledger: Ledger) -> None:
    for proc in range(MANY):
        put(ledger, proc)
    for name in ("A", "B"):
        ledger = reopen(ledger)
        put_many(ledger, name, "1")
    assert count_changes(ledger) == [2, MANY]
    ledger.trim_history(0.0)
    assert count_changes(ledger) == [1, MANY]
    assert [job.ad.get_all(("A", "B")) for job in ledger.read_queue()] == [("1", "1")] * MANY
    ledger.close()


def test_changes_with_the_number_of_deleted_ones_are_not_taken_for_them(ledger: Ledger) -> None:
    for proc in range(MANY):
        put(ledger, proc)
    ledger = reopen(ledger)
    put_many(ledger, "A", "1")
    ledger = reopen(ledger)
    with pytest.raises(RuntimeError), ledger.transaction():
        assert ledger.set_attributes([JobId(7, proc) for proc in range(MANY)], {"B": "1"})
        raise RuntimeError  # the disk is full, say: nothing is known of the latest changes now
    assert [job.ad.get("A") for job in ledger.read_queue()] == ["1"] * MANY
    for proc in range(MANY):
        put(ledger, proc)  # as new: it names no changes
    ledger.trim_history(0.0)
    assert count_changes(ledger) == [0, 0]
    ledger._recent.clear()
    with ledger.transaction():
        assert ledger.set_attributes([JobId(7, proc) for proc in range(MANY)], {"C": "1"})
    found = [job.ad.get_all(("A", "B", "C")) for job in ledger.read_queue()]
    assert found == [(None, None, "1")] * MANY
    ledger.close()


def test_too_many_changes_are_written_into_each_ad(ledger: Ledger) -> None:
    for proc in range(MANY):
        put(ledger, proc)
    ledger = reopen(ledger)
    text = f'"{"x" * LARGEST_CHANGES}"'
    put_many(ledger, "A", text)
    assert count_changes(ledger) == [0, 0]
    ledger = reopen(ledger)
    assert [job.ad["A"] for job in ledger.read_queue()] == [text] * MANY
    ledger.close()


def test_columns_say_what_changed_in_many_ads(ledger: Ledger) -> None:
    for name, text in (("Cmd", '"/bin/echo"'), ("JobBatchName", '"b"'), ("PeriodicHold", "true")):
        for proc in range(MANY):
            put(ledger, proc)
        ledger = reopen(ledger)
        put_many(ledger, name, text)
        view = LedgerSnapshot(ledger.path, "", "", "")
        with contextlib.closing(view):
            assert [ad.get_all((name, "ProcId")) for ad in view.read_jobs()] == [
                (text, str(proc)) for proc in range(MANY)
            ]
    assert len(list(ledger.read_with_policy(JobId(0, 0)))) == MANY
    assert count_changes(ledger)[1] == 0
    ledger.close()


def test_a_ledger_with_damaged_changes_is_made_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    for proc in range(MANY):
        put(ledger, proc)
    ledger = reopen(ledger)
    put_many(ledger, "Tag", "1")
    ledger._db.execute("UPDATE changes SET text=CAST('[[],[1]]' AS BLOB)")
    ledger = reopen(ledger)
    with pytest.raises(sqlite3.DatabaseError, match="a text in the ledger is damaged"):
        ledger.get(JobId(7, 0))
    ledger = reopen(ledger)
    assert list(ledger.read_queue()) == []
    ledger.close()


def test_an_ad_is_read_in_another_thread_and_when_its_job_is_long_gone() -> None:
    made = compressor()
    ad = Ad({"Owner": '"games"', "Args": '"' + "x" * 400 + '"'})
    stored = [StoredAd(made, (None, *made.compress(("ad", ""), encode_ad(ad)))) for _ in range(2)]
    made.forget()
    made._db.execute("DELETE FROM dictionaries")

    with ThreadPoolExecutor(1) as other:
        assert other.submit(stored[0].get, "Args").result() == ad["Args"]
        assert dict(other.submit(lambda: dict(stored[1])).result()) == dict(ad)
