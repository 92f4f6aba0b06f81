"""condor_rm, condor_hold and their like: which jobs are meant, what is said, what happens.

Texts, streams and exit codes are HTCondor's (ce-contract section "condor_rm /
hold / release"): job ids together, clusters together, and each user are
*groups*; a group succeeds when one of its jobs was acted on. ``-constraint``
narrows the clusters and users that stand beside it, as HTCondor's does.

A command that finds no job fails. HTCondor's tools exit with 0 when the whole queue is empty,
which a client cannot tell from success.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import classad2

from thyme.protocol.events import (
    Continued,
    Held,
    HoldReason,
    JobMessage,
    Released,
    Removed,
    Suspended,
    Vacated,
)
from thyme.protocol.hold_codes import HoldReasonCode
from thyme.protocol.job import JobId
from vobox.classad.ad import Ad, ParseError, parse
from vobox.jobs.job import Job
from vobox.jobs.status import COMPLETED, HELD, REMOVED, RUNNING, SUSPENDED, TRANSFERRING_OUTPUT
from vobox.ledger.writer import Ledger


@dataclass(frozen=True)
class Words:
    """How one command speaks."""

    verb: str  #: remove
    done: str  #: marked for removal
    have: str  #: have been marked for removal
    bad_status: str = ""  #: of a job in another state than the command needs
    already: str = ""  #: of a job that is so already; "" for what ``done`` says
    denied: str = ""  #: what another user may not; "" for ``verb``


WORDS = {
    "condor_rm": Words("remove", "marked for removal", "have been marked for removal"),
    "condor_hold": Words("hold", "held", "have been held"),
    "condor_release": Words("release", "released", "have been released", "not held to be released"),
    "condor_suspend": Words(
        "suspend", "suspended", "have been suspended", "not running to be suspended"
    ),
    "condor_continue": Words(
        "continue", "continued", "have been continued", "not running to be continued", "running"
    ),
    "condor_vacate_job": Words(
        "vacate", "vacated", "have been vacated", "not running to be vacated"
    ),
}
#: With -forcex, -fast.
FORCED = {
    "condor_rm": Words(
        "remove",
        "removed locally (remote state unknown)",
        "have been removed locally (remote state unknown)",
        "not in `X' state to be forcibly removed",
        denied="force removal of",
    ),
    "condor_vacate_job": Words(
        "fast-vacate", "fast-vacated", "have been fast-vacated", "not running to be fast-vacated"
    ),
}


@dataclass(frozen=True)
class Selection:
    """One group: how it is named in the answer, and which jobs it means.

    ``clusters`` and ``owners`` are alternatives; no such given means every
    job. ``constraints`` must hold as well.
    """

    what: str  #: " in cluster 7", " matching constraint (…)", …; "" for job ids and for all
    jobs: tuple[JobId, ...] = ()
    clusters: tuple[int, ...] = ()
    owners: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()


@dataclass(frozen=True)
class Order:
    """A parsed command line. ``invalid``: words that name nothing."""

    command: str
    groups: tuple[Selection, ...]
    reason: str = ""
    subcode: int = 0
    force: bool = False
    totals: bool = False
    invalid: tuple[str, ...] = ()


@dataclass
class Outcome:
    """What was said and what is to be recorded."""

    stdout: list[str] = field(default_factory=list)
    stderr: list[str] = field(default_factory=list)
    events: list[JobMessage] = field(default_factory=list)
    failed: bool = False


#: What keeps a job from being acted on → its column in -totals.
_TOTALS = ("", "error", "not found", "bad status", "already", "permission")


def decide(order: Order, ledger: Ledger, uid: int, user: str, schedd: str, now: float) -> Outcome:
    """Carry the order out on the present ledger: what to record, what to say."""
    words = words_of(order)
    outcome = Outcome(failed=bool(order.invalid))
    outcome.stderr += [f"Invalid cluster # from {word}." for word in order.invalid]
    if any(group.jobs for group in order.groups) and any(g.constraints for g in order.groups):
        outcome.stderr.append("Warning, -constraint is ignored for fully qualified job ids")
    acted: set[JobId] = set()

    def act(job: Job) -> str:
        """Act on one job; why not, or ""."""
        if job.id in acted:
            return "already"
        why = obstacle(order, job, uid)
        if not why:
            acted.add(job.id)
            outcome.events.append(_event(order, job, user, schedd, now))
        return why

    for group in order.groups:
        if group.jobs:
            known = [(each, ledger.get(each)) for each in group.jobs]
            results = [
                (job_id, act(job) if job is not None and job.in_queue else "not found")
                for job_id, job in known
            ]
        else:
            results = [(job.id, act(job)) for job in selected(group, ledger, now)]
        done = any(not why for _job, why in results)
        outcome.failed |= not done
        if order.totals:
            outcome.stdout.append(_totals([why for _job, why in results]))
        if group.jobs:
            # HTCondor's tool prints its (empty) error stack once anything has failed
            outcome.stderr += [""] if outcome.failed else []
            for job_id, why in results:
                said = outcome.stderr if why else outcome.stdout
                said.append(_said(job_id, why, words))
        elif done:
            outcome.stdout.append(f"All jobs{group.what} {words.have}")
        else:
            outcome.stderr += ["", f"Couldn't find/{words.verb} all jobs{group.what}"]
    return outcome


def words_of(order: Order) -> Words:
    return FORCED[order.command] if order.force else WORDS[order.command]


def _said(job: JobId, why: str, words: Words) -> str:
    return {
        "": f"Job {job} {words.done}",
        "not found": f"Job {job} not found",
        "permission": f"Permission denied to {words.denied or words.verb} job {job}",
        "already": f"Job {job} already {words.already or words.done}",
        "bad status": f"Job {job} {words.bad_status}",
    }[why]


def _totals(reasons: Sequence[str]) -> str:
    names = ("Succeeded", "Failed", "Not Found", "Bad Status", "Already Done", "Permission Denied")
    numbers = (reasons.count(reason) for reason in _TOTALS)
    return ", ".join(f"{number} {name}" for number, name in zip(numbers, names, strict=True))


#: Commands for running jobs: the states that they need, and the one that they lead to.
_RUNS: dict[str, tuple[tuple[int, ...], int | None]] = {
    "condor_suspend": ((RUNNING,), SUSPENDED),
    "condor_continue": ((SUSPENDED,), RUNNING),
    "condor_vacate_job": ((RUNNING, SUSPENDED), None),
}


def obstacle(order: Order, job: Job, uid: int) -> str:
    """Why this user cannot do this to this job now; "" if he can."""
    if uid not in (0, job.uid):
        return "permission"
    if order.command == "condor_rm":
        if order.force:
            return "" if job.status == REMOVED else "bad status"
        return "already" if job.status == REMOVED else ""
    if order.command in _RUNS:
        status, already = _RUNS[order.command]
        if already is not None and job.status == already:
            return "already"
        return "" if job.status in status and job.worker else "bad status"
    if order.command == "condor_hold":
        if job.status == HELD:
            return "already"
        ended = (REMOVED, COMPLETED, TRANSFERRING_OUTPUT)
        return "permission" if job.status in ended else ""
    return "" if job.status == HELD else "bad status"


def _event(order: Order, job: Job, user: str, schedd: str, now: float) -> JobMessage:
    by = f"(by user {user})"
    forced = " -forcex" if order.force else ""
    reason = f"{order.reason} {by}" if order.reason else f"via {order.command}{forced} {by}"
    if order.command == "condor_rm":
        return Removed(schedd, job.id, now, reason, order.force)
    if order.command == "condor_hold":
        return Held(
            schedd, job.id, now, HoldReason(HoldReasonCode.USER_REQUEST, order.subcode, reason)
        )
    if order.command == "condor_vacate_job":
        return Vacated(schedd, job.id, now, reason, order.force)
    kind = {"condor_suspend": Suspended, "condor_continue": Continued}.get(order.command, Released)
    return kind(schedd, job.id, now, reason)


def selected(group: Selection, ledger: Ledger, now: float) -> list[Job]:
    """The jobs in the queue that a group without job ids means."""
    jobs: dict[JobId, Job] = {}
    for cluster in group.clusters:
        jobs.update((job.id, job) for job in ledger.in_queue(cluster=cluster))
    for owner in group.owners:
        jobs.update((job.id, job) for job in ledger.in_queue(owner=owner))
    if not group.clusters and not group.owners:
        jobs.update((job.id, job) for job in ledger.in_queue())
    trees = [parse(constraint) for constraint in group.constraints]
    return [job for job in jobs.values() if all(matches(tree, job.ad, now) for tree in trees)]


def matches(tree: Any, ad: Ad, now: float) -> bool:
    """Whether a parsed constraint holds; undefined and error do not match."""
    try:
        # as policies: MY needs a target ad, and then CurrentTime has to be given
        scope = Ad({"CurrentTime": str(int(now)), **ad}).classad()
        value = tree.eval(scope, classad2.ClassAd())
    except ParseError:
        return False
    return value is True or (type(value) in (int, float) and value != 0)


def groups_of(words: Sequence[str], constraints: Sequence[str]) -> list[Selection]:
    """The groups of positional arguments and constraints."""
    ids = tuple(JobId.parse(word) for word in words if is_job(word))
    clusters = tuple(int(word) for word in words if is_number(word))
    users = tuple(word for word in words if not is_job(word) and not is_number(word))
    groups = [Selection("", jobs=ids)] if ids else []
    names = [f"ClusterId == {cluster}" for cluster in clusters]
    names += [f'Owner == "{user}"' for user in users]
    if constraints:
        parts = [*constraints, " || ".join(names)] if names else list(constraints)
        text = parts[0] if len(parts) == 1 else " && ".join(f"({part})" for part in parts)
        what = f" matching constraint ({text})"
        groups.append(
            Selection(what, clusters=clusters, owners=users, constraints=tuple(constraints))
        )
        return groups
    if len(clusters) == 1:
        groups.append(Selection(f" in cluster {clusters[0]}", clusters=clusters))
    elif clusters:
        what = f" matching constraint ({' || '.join(names[: len(clusters)])})"
        groups.append(Selection(what, clusters=clusters))
    groups += [Selection(f' of user "{user}"', owners=(user,)) for user in users]
    return groups


def is_number(word: str) -> bool:
    """A cluster id, good or not."""
    # Python makes no number of some thousand digits
    return word.isascii() and word.isdigit() and len(word) < 1000


def is_job(word: str) -> bool:
    try:
        JobId.parse(word)
    except ValueError:
        return False
    return True
