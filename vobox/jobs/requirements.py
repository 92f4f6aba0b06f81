"""Keep jobs idle whose Requirements no machine can meet.

Pilots take jobs in turn, whatever machine they are on. So a job is kept from
them only where its Requirements are false for every machine: ``false``, another
system's ``OpSys``, or ARC's ``NumJobStarts == 0`` after the first start, which
means "never start twice". What depends on a machine's own attributes is
undefined here, and then the job runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import classad2

from thyme.protocol.job import JobId
from vobox.classad.ad import Ad, ParseError, parse

from .job import Job

#: The attributes that all machines of pilots share.
_COMMON_MACHINE = {"OpSys": '"LINUX"', "HasFileTransfer": "true"}


def can_match(ad: Ad, now: float) -> bool:
    """Whether some machine may meet the job's Requirements; ``now``: epoch seconds."""
    text = ad.get("Requirements", "true")
    try:
        # with a target ad the library knows no CurrentTime, and looks up a plain name only here
        known = {"CurrentTime": str(int(now)), **_COMMON_MACHINE, **dict(ad.pairs())}
        value: Any = parse(text).eval(Ad(known).classad(), Ad(_COMMON_MACHINE).classad())
    except (ParseError, ValueError):  # ValueError: text that is no UTF-8
        return True
    # Value.Error and Value.Undefined are ints, too
    return isinstance(value, classad2.Value) or value not in (False, 0, 0.0)


class MatchingJobs:
    """Selects the idle jobs that may be queued; those that cannot match are checked again later."""

    def __init__(self, interval: float) -> None:
        """``interval``: seconds until a job that cannot match is checked again."""
        self._interval = interval
        self._next_check: dict[JobId, float] = {}

    def select(
        self,
        idle: Sequence[JobId],
        job_of: Callable[[JobId], Job | None],
        clock: float,
        wall: float,
        limit: int,
    ) -> list[Job]:
        """Return at most ``limit`` jobs that can match.

        ``idle``: all idle jobs that have no message in the job queue; ``job_of`` returns a job of
        the ledger; ``clock``: monotonic, ``wall``: epoch seconds.
        """
        self._next_check = {job: self._next_check[job] for job in idle if job in self._next_check}
        found: list[Job] = []
        for job_id in idle:
            if len(found) == limit:
                break
            job = job_of(job_id) if clock >= self._next_check.get(job_id, clock) else None
            if job is None:
                continue
            if can_match(job.ad, wall):
                found.append(job)
            else:
                self._next_check[job_id] = clock + self._interval
        return found
