"""What a user's orders about a running job, and condor_qedit, do to it (see ``fold.py``).

Pure, as all of the fold: the order is an event in the stream, and what the worker is to do
comes back as an effect.
"""

from __future__ import annotations

from thyme.protocol.events import Continued, Edited, Suspended, Vacated
from vobox.classad.ad import literal
from vobox.jobs import user_log_events
from vobox.jobs.job import Change, Job, LogEvent, Tell, enter
from vobox.jobs.status import RUNNING, SUSPENDED


def edited(job: Job, event: Edited) -> Change:
    if job.in_queue:
        for name, text in event.ad.items():
            job.ad[name] = text
    return Change(job)


def suspended(job: Job, event: Suspended) -> Change:
    if job.status != RUNNING or not job.worker:
        return Change(job)
    enter(job, SUSPENDED, event.time)
    job.ad["TotalSuspensions"] = literal(job.ad.number("TotalSuspensions") + 1)
    job.ad["LastSuspensionTime"] = literal(int(event.time))
    text = user_log_events.suspended(job.id, event.time)
    return Change(job, [LogEvent(text), Tell(job.worker, job.attempt, "suspend")])


def continued(job: Job, event: Continued) -> Change:
    if job.status != SUSPENDED:
        return Change(job)
    enter(job, RUNNING, event.time)
    text = user_log_events.unsuspended(job.id, event.time)
    return Change(job, [LogEvent(text), Tell(job.worker, job.attempt, "continue")])


def vacated(job: Job, event: Vacated) -> Change:
    """Its worker will say that the run was evicted; until then nothing has changed."""
    if job.status not in (RUNNING, SUSPENDED) or not job.worker:
        return Change(job)
    action = "vacate_fast" if event.force else "vacate"
    return Change(job, [Tell(job.worker, job.attempt, action)])
