"""condor_rm, condor_hold and the like: what happens to the jobs, and what is answered.

Texts, streams and exit codes are HTCondor's (ce-contract section "condor_rm /
hold / release"): job ids together, clusters together, and each user are
*groups*; a group succeeds when one of its jobs was acted on. ``-constraint``
narrows the clusters and users that stand beside it, as HTCondor's does.

A cluster, user or constraint for which there is nothing to do is an error, but not while
nobody has a job in the queue.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from thyme.protocol.events import (
    Continued,
    Held,
    HoldReason,
    JobMessage,
    Released,
    Removed,
    Suspended,
    Vacated,
    clean_reason,
    give_to,
)
from thyme.protocol.hold_codes import HoldReasonCode
from thyme.protocol.job import JobId
from vobox.jobs.job import Job
from vobox.jobs.status import COMPLETED, HELD, REMOVED, RUNNING, SUSPENDED, TRANSFERRING_OUTPUT
from vobox.jobs.transitions import is_held_by_user
from vobox.ledger.writer import JobState, Ledger
from vobox.rpc.types import Answer

from .job_selection import JobGroup, may_modify, select_jobs


@dataclass(frozen=True)
class ActionTexts:
    """The words of one command's answers."""

    verb: str  #: remove
    done: str  #: marked for removal
    have: str  #: have been marked for removal
    bad_status: str = ""  #: of a job in another state than the command needs
    already: str = ""  #: of a job that is so already; "" for what ``done`` says
    denied: str = ""  #: what another user may not; "" for ``verb``


TEXTS = {
    "condor_rm": ActionTexts("remove", "marked for removal", "have been marked for removal"),
    "condor_hold": ActionTexts("hold", "held", "have been held"),
    "condor_release": ActionTexts(
        "release", "released", "have been released", "not held to be released"
    ),
    "condor_suspend": ActionTexts(
        "suspend", "suspended", "have been suspended", "not running to be suspended"
    ),
    "condor_continue": ActionTexts(
        "continue", "continued", "have been continued", "not running to be continued", "running"
    ),
    "condor_vacate_job": ActionTexts(
        "vacate", "vacated", "have been vacated", "not running to be vacated"
    ),
}
#: With -forcex, -fast.
FORCED_TEXTS = {
    "condor_rm": ActionTexts(
        "remove",
        "removed locally (remote state unknown)",
        "have been removed locally (remote state unknown)",
        "not in `X' state to be forcibly removed",
        denied="force removal of",
    ),
    "condor_vacate_job": ActionTexts(
        "fast-vacate", "fast-vacated", "have been fast-vacated", "not running to be fast-vacated"
    ),
}


@dataclass(frozen=True)
class ActionRequest:
    """A parsed command line. ``invalid``: words that name nothing."""

    command: str
    groups: tuple[JobGroup, ...]
    reason: str = ""
    subcode: int = 0
    force: bool = False
    totals: bool = False
    held: bool = False  #: of held jobs alone
    invalid: tuple[str, ...] = ()

    @property
    def texts(self) -> ActionTexts:
        """The texts of the command."""
        return FORCED_TEXTS[self.command] if self.force else TEXTS[self.command]


#: What keeps a job from being acted on → its column in -totals.
_TOTALS = ("", "error", "not found", "bad status", "already", "permission")


def decide(
    request: ActionRequest, ledger: Ledger, uid: int, user: str, schedd: str, now: float
) -> tuple[Answer, list[JobMessage]]:
    """Decide what to answer and what to record, from the present ledger.

    :param uid: the caller's, ``user`` his name
    :param schedd: the name of ours, for the events
    :param now: epoch seconds
    """
    texts, reason = request.texts, _build_reason(request, user)
    failed = bool(request.invalid)
    jobs = "held jobs" if request.held else "jobs"
    stdout: list[str] = []
    stderr = [f"Invalid cluster # from {word}." for word in request.invalid]
    if any(g.jobs for g in request.groups) and any(g.constraints for g in request.groups):
        stderr.append("Warning, -constraint is ignored for fully qualified job ids")
    acted_on: dict[JobId, None] = {}

    def act(job: Job | JobState) -> str:
        """Act on one job; return why not, or ""."""
        if job.id in acted_on:
            return "bad status" if request.command == "condor_release" else "already"
        why = find_obstacle(request, job, uid)
        if why == "already" and request.command == "condor_hold":
            held = job if isinstance(job, Job) else ledger.get(job.id)
            why = "already" if held is None or is_held_by_user(held) else ""
        if not why:
            acted_on[job.id] = None
        return why

    for group in request.groups:
        if group.jobs:
            known = [(each, ledger.get(each)) for each in group.jobs]
            results = [
                (job_id, act(job) if job is not None and job.in_queue else "not found")
                for job_id, job in known
            ]
        else:
            results = [(job.id, act(job)) for job in select_jobs(group, ledger)]
        done = any(not why for _job, why in results)
        none_queued = not done and not group.jobs and ledger.is_queue_empty()
        failed |= not done and not none_queued
        if request.totals:
            # of clusters and the like, a job in another state is none that was asked for
            counted = [why for _job, why in results if group.jobs or why != "bad status"]
            stdout.append(_format_totals(counted))
        if group.jobs:
            # HTCondor's tool prints its (empty) error stack once anything has failed
            stderr += [""] if failed else []
            # as with HTCondor, a job that is named twice has its last result both times
            last = dict(results)
            for job_id in group.jobs:
                lines = stderr if last[job_id] else stdout
                lines.append(_format_result(job_id, last[job_id], texts))
        elif done:
            stdout.append(f"All {jobs}{group.description} {texts.have}")
        elif none_queued:
            stderr.append(f"{request.command}:0:There are no jobs in the queue")
        else:
            stderr += ["", f"Couldn't find/{texts.verb} all {jobs}{group.description}"]
    answer = Answer(
        "".join(line + "\n" for line in stdout),
        "".join(line + "\n" for line in stderr),
        1 if failed else 0,
    )
    events = [
        _build_event(request, job, reason, schedd, now) for job in itertools.islice(acted_on, 1)
    ]
    return answer, [give_to(job, event) for event in events for job in acted_on]


def _format_result(job: JobId, why: str, texts: ActionTexts) -> str:
    return {
        "": f"Job {job} {texts.done}",
        "not found": f"Job {job} not found",
        "permission": f"Permission denied to {texts.denied or texts.verb} job {job}",
        "already": f"Job {job} already {texts.already or texts.done}",
        "bad status": f"Job {job} {texts.bad_status}",
    }[why]


def _format_totals(reasons: Sequence[str]) -> str:
    names = ("Succeeded", "Failed", "Not Found", "Bad Status", "Already Done", "Permission Denied")
    numbers = (reasons.count(reason) for reason in _TOTALS)
    return ", ".join(f"{number} {name}" for number, name in zip(numbers, names, strict=True))


#: Commands for running jobs: the states that they need, and the one that they lead to.
_RUNS: dict[str, tuple[tuple[int, ...], int | None]] = {
    "condor_suspend": ((RUNNING,), SUSPENDED),
    "condor_continue": ((SUSPENDED,), RUNNING),
    "condor_vacate_job": ((RUNNING, SUSPENDED), None),
}


def find_obstacle(request: ActionRequest, job: Job | JobState, uid: int) -> str:
    """Return why the user cannot do this to the job now; "" if he can.

    :param uid: the caller's
    :return: "permission", "already", "bad status" or ""
    """
    if not may_modify(job, uid):
        return "permission"
    if request.command == "condor_rm":
        if request.force:
            return "" if job.status == REMOVED else "bad status"
        return "already" if job.status == REMOVED else ""
    if request.command in _RUNS:
        status, already = _RUNS[request.command]
        if already is not None and job.status == already:
            return "already"
        return "" if job.status in status and job.worker else "bad status"
    if request.command == "condor_hold":
        if job.status == HELD:
            return "already"
        ended = (REMOVED, COMPLETED, TRANSFERRING_OUTPUT)
        return "permission" if job.status in ended else ""
    return "" if job.status == HELD else "bad status"


def _build_reason(request: ActionRequest, user: str) -> str:
    forced = " -forcex" if request.force else ""
    reason = clean_reason(request.reason) if request.reason else f"via {request.command}{forced}"
    return f"{reason} (by user {user})"


def _build_event(
    request: ActionRequest, job: JobId, reason: str, schedd: str, now: float
) -> JobMessage:
    if request.command == "condor_rm":
        return Removed(schedd, job, now, reason, request.force)
    if request.command == "condor_hold":
        return Held(
            schedd, job, now, HoldReason(HoldReasonCode.USER_REQUEST, request.subcode, reason)
        )
    if request.command == "condor_vacate_job":
        return Vacated(schedd, job, now, reason, request.force)
    kind = {"condor_suspend": Suspended, "condor_continue": Continued}.get(
        request.command, Released
    )
    return kind(schedd, job, now, reason)
