"""Which jobs the words of condor_qedit, condor_prio and condor_tail mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from thyme.protocol.job import JobId
from vobox.classad.ad import parse
from vobox.jobs.job import Job
from vobox.ledger.writer import Ledger

from .job_actions import is_job, is_number, matches


def named(ledger: Ledger, word: str) -> list[Job]:
    """The jobs in the queue that ``C.P``, ``C`` or an owner's name means."""
    if is_job(word):
        job = ledger.get(JobId.parse(word))
        return [job] if job is not None and job.in_queue else []
    if is_number(word):
        return ledger.in_queue(cluster=int(word))
    return ledger.in_queue(owner=word)


def constrained(jobs: Sequence[Job], constraints: Sequence[str], now: float) -> list[Job]:
    """Those for which every constraint (they parse) holds."""
    trees: list[Any] = [parse(text) for text in constraints]
    return [job for job in jobs if all(matches(tree, job.ad, now) for tree in trees)]


def may_touch(job: Job, uid: int) -> bool:
    """Only its owner and root may change a job, or look into what it writes."""
    return uid in (0, job.uid)
