"""The numbers of jobs that the ledger keeps are those that one would count."""

import random
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from tests.support.schedd_parts import Events, job_after
from thyme.protocol.job import JobId
from vobox.jobs.job import Job
from vobox.ledger.snapshot import LedgerSnapshot
from vobox.ledger.writer import Ledger


def kinds(path: Path) -> tuple[Counter[tuple[object, ...]], Counter[tuple[object, ...]]]:
    """As kept, and as counted."""
    db = sqlite3.connect(path)
    try:
        of_job = "SELECT in_queue, pool, owner, status, worker<>'' FROM jobs"
        kept = "SELECT in_queue, pool, owner, status, busy, number FROM counts WHERE number<>0"
        return Counter({row[:-1]: row[-1] for row in db.execute(kept)}), Counter(db.execute(of_job))
    finally:
        db.close()


def change(job: Job, dice: random.Random) -> None:
    """Anything by which jobs are counted, and what they are not counted by."""
    job.status = dice.randint(1, 7)
    job.worker = dice.choice(("", "w1", "w2"))
    job.attempt += 1
    if dice.random() < 0.2:
        job.pool = dice.choice(("p", "q"))
        job.ad["Owner"] = dice.choice(('"alice"', '"bob"', "1 + 1"))
    if dice.random() < 0.2:
        job.in_queue, job.left_at = False, float(dice.randint(1, 99))


@pytest.mark.parametrize("seed", range(4))
def test_what_is_counted_follows_every_change(tmp_path: Path, seed: int) -> None:
    dice, path = random.Random(seed), tmp_path / "ledger.db"
    ledger = Ledger(path)
    for step in range(60):
        try:
            with ledger.transaction():
                for _ in range(dice.randint(1, 6)):
                    number = JobId(dice.randint(1, 12), 0)
                    job = ledger.get(number) or job_after(Events(number).submit())
                    change(job, dice)
                    ledger.put(job)
                if dice.random() < 0.1:
                    ledger.trim_history(float(dice.randint(1, 99)))
                if dice.random() < 0.1:
                    raise ZeroDivisionError  # undone as a whole
        except ZeroDivisionError:
            pass
        if dice.random() < 0.05:  # ended without a word, and started again
            ledger = Ledger(path)
        if step == 50:
            ledger.clear()
        kept, counted = kinds(path)
        assert kept == counted, step
    ledger.close()


def test_a_kind_that_no_job_is_of_is_forgotten_with_the_history(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    job = job_after(Events(JobId(1, 0)).submit())
    ledger.put(job)
    job.in_queue, job.left_at = False, 5.0
    ledger.put(job)
    ledger.trim_history(6.0)
    db = sqlite3.connect(ledger.path)
    assert db.execute("SELECT * FROM counts").fetchall() == []
    db.close()
    seen = LedgerSnapshot(ledger.path, "vm", "<x>", "")
    assert seen.count_jobs() == {}
    seen.close()
    ledger.close()
