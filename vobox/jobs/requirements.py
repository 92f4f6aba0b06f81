"""Requirements, as far as there is something to match: what no machine can meet stays Idle.

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

#: What is the same of every machine that pilots are on.
_MACHINE = {"OpSys": '"LINUX"', "HasFileTransfer": "true"}


def can_match(ad: Ad, now: float) -> bool:
    """False where the job's Requirements are false whatever the machine; ``now``: epoch s."""
    text = ad.get("Requirements", "true")
    try:
        # with a target ad the library knows no CurrentTime, and looks for a plain name here alone
        known = {"CurrentTime": str(int(now)), **_MACHINE, **dict(ad.pairs())}
        value: Any = parse(text).eval(Ad(known).classad(), Ad(_MACHINE).classad())
    except (ParseError, ValueError):  # ValueError: text that is no UTF-8
        return True
    # Value.Error and Value.Undefined are ints, too
    return isinstance(value, classad2.Value) or value not in (False, 0, 0.0)


class MatchingJobs:
    """Which idle jobs may be queued; those that cannot match are looked at again later."""

    def __init__(self, interval: float) -> None:
        """``interval``: seconds until a job is looked at again."""
        self._interval = interval
        self._next_look: dict[JobId, float] = {}

    def select(
        self,
        idle: Sequence[JobId],
        job_of: Callable[[JobId], Job | None],
        clock: float,
        wall: float,
        limit: int,
    ) -> list[Job]:
        """At most ``limit`` jobs of ``idle``, all the idle jobs that no message is out of.

        ``clock``: monotonic, ``wall``: epoch seconds.
        """
        self._next_look = {job: self._next_look[job] for job in idle if job in self._next_look}
        found: list[Job] = []
        for job_id in idle:
            if len(found) == limit:
                break
            job = job_of(job_id) if clock >= self._next_look.get(job_id, clock) else None
            if job is None:
                continue
            if can_match(job.ad, wall):
                found.append(job)
            else:
                self._next_look[job_id] = clock + self._interval
        return found
