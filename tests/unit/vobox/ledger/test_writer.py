"""The table of jobs: written, read back, counted, seen by the commands."""

import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.schedd_parts import JOB, Events, Expression, job_after
from thyme.protocol.job import JobId
from vobox.jobs.job import Job
from vobox.ledger import recent_jobs
from vobox.ledger.snapshot import LedgerSnapshot
from vobox.ledger.writer import Ledger


def view(ledger: Ledger) -> LedgerSnapshot:
    return LedgerSnapshot(ledger.path, "vm", "<x>", "")


def job(proc: int, owner: str = "games", left_at: float = 0.0) -> Job:
    made = job_after(Events(JobId(7, proc), attributes={"Owner": owner}).submit())
    if left_at:
        made.status, made.in_queue, made.left_at = 4, False, left_at
    return made


# --- the table ----------------------------------------------------------------------------------


def test_a_job_is_read_back_as_it_was_written(ledger: Ledger) -> None:
    e = Events(
        attributes={"Odd": Expression('"caf\udce9 \u2028"'), "Sum": Expression("1 + MY.QDate")}
    )
    written = job_after(
        e.submit(), e.started(), e.lost(), e.submit(1), e.started("w2", 1), e.held()
    )
    ledger.put(written)
    assert ledger.get(JOB) == written


def test_an_owner_that_is_no_text_for_sqlite_can_be_stored(ledger: Ledger) -> None:
    made = job(0)
    made.ad["Owner"] = '"caf\udce9"'
    ledger.put(made)
    assert ledger.get(JobId(7, 0)) is not None


@pytest.mark.parametrize("number", [2**63, 10**40])
def test_numbers_that_are_no_job_are_no_job(ledger: Ledger, number: int) -> None:
    assert ledger.get(JobId(number, 0)) is None
    assert ledger.get(JobId(0, number)) is None
    assert list(ledger.read_queue(cluster=number)) == []


@pytest.mark.parametrize(
    "find",
    [
        lambda ledger: list(ledger.read_to_deliver(10)),
        lambda ledger: list(ledger.read_to_deliver(10, {0})),
        lambda ledger: ledger.list_to_queue(),
        lambda ledger: ledger.list_failed_starts(),
        lambda ledger: ledger.list_worked_on(),
        lambda ledger: list(ledger.read_worked_on()),
        lambda ledger: list(ledger.read_with_policy(JobId(0, 0))),
    ],
)
def test_what_each_pass_asks_does_not_go_through_the_whole_queue(
    ledger: Ledger, find: Callable[[Ledger], list[object]]
) -> None:
    for proc in range(1000):
        waiting = job(proc)
        waiting.queued = True
        ledger.put(waiting)
    assert find(ledger) == [], "and all are written now"
    calls = []
    ledger._db.set_progress_handler(lambda: calls.append(1), 10)
    assert find(ledger) == []
    ledger._db.set_progress_handler(None, 0)
    assert len(calls) < 20, "in tens of SQLite's instructions, of which each job takes several"


def test_states_are_those_of_the_jobs_in_the_queue(ledger: Ledger) -> None:
    held = job(3, "alice")
    held.status, held.queued, held.worker = 5, False, "w1"
    other = job(4)
    other.status = 5
    for each in (job(10), job(9), held, other, job(1, left_at=5.0)):
        ledger.put(each)
    for how in ({}, {"cluster": 7}, {"owner": "alice"}, {"ids": [held.id, other.id]}):
        found = ledger.list_states(**how, only_unqueued=True)  # type: ignore[arg-type]
        assert [state.id for state in found] == [held.id]
    for how in ({}, {"cluster": 7}, {"cluster": 8}, {"owner": "ALICE"}, {"cluster": 2**63}):
        jobs = list(ledger.read_queue(**how))  # type: ignore[arg-type]
        assert ledger.list_states(**how) == [  # type: ignore[arg-type]
            (each.id, each.uid, each.ad.text("Owner"), each.status, each.worker) for each in jobs
        ]
    ids = [JobId(7, proc) for proc in (9, 10, 3, 1, 2, 9)]
    procs = [state.id.proc for state in ledger.list_states(ids=[*ids, JobId(2**63, 0)])]
    assert procs == [9, 10, 3, 9], "in the order of the ids"


def test_loaded_jobs_are_read_by_one_query(ledger: Ledger) -> None:
    for proc in range(5):
        ledger.put(job(proc))
    ledger.close()
    ledger = Ledger(ledger.path)
    queries: list[str] = []
    ledger._db.set_trace_callback(lambda text: queries.extend([text] * ("FROM jobs" in text)))
    ids = [JobId(7, proc) for proc in range(5)]
    ledger.load([*ids, JobId(7, 99), JobId(2**63, 0)])
    assert [ledger.get(each) for each in ids] == [job(proc) for proc in range(5)]
    assert len(queries) == 1
    ledger.close()


def test_a_job_is_read_once_until_so_many_others_were(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for proc in range(3):
        ledger.put(job(proc))
    ledger.close()
    ledger = Ledger(ledger.path)
    monkeypatch.setattr(recent_jobs, "MAX_JOBS", 2)
    queries: list[str] = []
    ledger._db.set_trace_callback(lambda text: queries.extend([text] * ("FROM jobs" in text)))
    for proc, so_far in ((0, 1), (1, 2), (0, 2), (2, 3), (1, 3), (0, 4)):
        assert ledger.get(JobId(7, proc)) == job(proc)
        assert len(queries) == so_far
    ledger.close()


@pytest.mark.parametrize("how", ["put", "get", "load"])
def test_jobs_with_large_ads_are_not_all_kept_in_memory(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """A user may submit thousands with a megabyte each, which no compression makes smaller."""
    monkeypatch.setattr(recent_jobs, "MAX_SIZE", 4_500_000)
    ids = [JobId(7, proc) for proc in range(20)]
    texts = {each: f'"{random.Random(each.proc).randbytes(500_000).hex()}"' for each in ids}
    with ledger.transaction():
        for each in ids:
            large = job(each.proc)
            large.ad["Large"] = texts[each]
            ledger.put(large)
    if how != "put":
        ledger._recent.clear()
    tracemalloc.start()
    try:
        if how == "load":
            ledger.load(ids)
        elif how == "get":
            assert all(ledger.get(each) for each in ids)
        assert tracemalloc.get_traced_memory()[1] < 7_000_000
    finally:
        tracemalloc.stop()
    assert sum(each in ledger._recent for each in ids) in range(4, 10)
    assert [found.ad["Large"] for each in ids if (found := ledger.get(each))] == list(
        texts.values()
    )


def test_the_queue_is_read_job_by_job(ledger: Ledger) -> None:
    with ledger.transaction():
        for proc in range(20):
            large = job(proc)
            large.ad["Large"] = f'"{random.Random(proc).randbytes(500_000).hex()}"'
            ledger.put(large)
    ledger._recent.clear()
    tracemalloc.start()
    try:
        assert sum(1 for _ in ledger.read_queue()) == 20
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_the_view_gives_the_queue_in_order_and_the_history_newest_first(ledger: Ledger) -> None:
    for each in (job(10), job(9), job(1, left_at=5.0), job(2, left_at=9.0)):
        ledger.put(each)
    seen = view(ledger)
    assert [ad.number("ProcId") for ad in seen.read_jobs()] == [9, 10]
    assert [ad.number("ProcId") for ad in seen.read_history()] == [2, 1]
    assert list(seen.read_jobs([8])) == [] and len(list(seen.read_jobs([7, 8]))) == 2
    seen.close()


def test_the_view_counts_by_owner_without_regard_to_case(ledger: Ledger) -> None:
    for each in (job(0), job(1), job(2, owner="alice"), job(3, left_at=1.0)):
        ledger.put(each)
    seen = view(ledger)
    assert seen.count_jobs() == {1: 3}
    assert (seen.count_jobs("GAMES"), seen.count_jobs("bob")) == ({1: 2}, {})
    seen.close()


def test_a_spool_with_odd_characters_in_its_name_can_be_read(tmp_path: Path) -> None:
    directory = tmp_path / "a?b#c%20d"
    directory.mkdir()
    ledger = Ledger(directory / "ledger.db")
    ledger.put(job(0))
    seen = view(ledger)
    assert len(list(seen.read_jobs())) == 1
    seen.close()
    ledger.close()


def test_old_history_is_forgotten(ledger: Ledger) -> None:
    ledger.put(job(1, left_at=5.0))
    ledger.put(job(2, left_at=9.0))
    ledger.trim_history(6.0)
    assert (ledger.get(JobId(7, 1)), ledger.get(JobId(7, 2)) is not None) == (None, True)


def test_of_an_owner_with_too_much_history_the_oldest_is_forgotten_some_at_a_time(
    ledger: Ledger,
) -> None:
    for proc in range(6):
        ledger.put(job(proc, left_at=20.0 - proc))
    ledger.put(job(6))  # in the queue
    ledger.put(job(7, "bob", left_at=1.0))

    assert [ledger.trim_history(0.0, most=2, limit=3) for _ in range(3)] == [True, False, False]

    kept = [proc for proc in range(8) if ledger.get(JobId(7, proc)) is not None]
    assert kept == [0, 1, 6, 7]


def test_a_transaction_that_fails_leaves_nothing(ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError), ledger.transaction():
        ledger.put(job(0))
        raise ZeroDivisionError
    assert ledger.get(JobId(7, 0)) is None
