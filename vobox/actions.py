"""condor_rm, condor_hold and condor_release: which jobs are meant, what is said, what happens.

Texts, streams and exit codes are HTCondor's (ce-contract section "condor_rm /
hold / release"): job ids together, clusters together, and each user are
*groups*; a group succeeds when one of its jobs was acted on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from thyme.job import JobId
from thyme.message import Held, HoldReason, JobMessage, Released, Removed

from .ads import Ad, ParseError, parse
from .fold import Job
from .ledger import Ledger
from .status import COMPLETED, HELD, REMOVED, TRANSFERRING_OUTPUT


@dataclass(frozen=True)
class Words:
    """How one command speaks."""

    verb: str  #: remove
    done: str  #: marked for removal
    have: str  #: have been marked for removal


WORDS = {
    "condor_rm": Words("remove", "marked for removal", "have been marked for removal"),
    "condor_hold": Words("hold", "held", "have been held"),
    "condor_release": Words("release", "released", "have been released"),
}
FORCED = Words(
    "remove",
    "removed locally (remote state unknown)",
    "have been removed locally (remote state unknown)",
)


@dataclass(frozen=True)
class Selection:
    """One group: how it is named in the answer, and which jobs it means."""

    what: str  #: "cluster 7", "jobs matching constraint (…)", …; "" for job ids
    jobs: tuple[JobId, ...] = ()
    clusters: tuple[int, ...] = ()
    owner: str | None = None
    constraint: str = ""
    everything: bool = False


@dataclass(frozen=True)
class Order:
    """A parsed command line."""

    command: str
    groups: tuple[Selection, ...]
    reason: str = ""
    subcode: int = 0
    force: bool = False


@dataclass
class Outcome:
    """What was said and what is to be recorded."""

    stdout: list[str] = field(default_factory=list)
    stderr: list[str] = field(default_factory=list)
    events: list[JobMessage] = field(default_factory=list)
    failed: bool = False


def decide(order: Order, ledger: Ledger, uid: int, user: str, schedd: str, now: float) -> Outcome:
    """Carry the order out on the present ledger: what to record, what to say."""
    words = FORCED if order.force else WORDS[order.command]
    outcome = Outcome()
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
            successes = [_one_job(job, ledger, act, words, order, outcome) for job in group.jobs]
            outcome.failed |= not any(successes)
            continue
        count = sum(1 for job in _selected(group, ledger) if not act(job))
        if count:
            # "All jobs have been held" where every job is meant
            meant = f"All jobs {group.what} " if group.what else "All jobs "
            outcome.stdout.append(f"{meant}{words.have}")
        else:
            outcome.failed = True
            meant = f" {group.what}" if group.what else ""
            outcome.stderr.append(f"\nCouldn't find/{words.verb} all jobs{meant}")
    return outcome


def _one_job(
    job_id: JobId,
    ledger: Ledger,
    act: Callable[[Job], str],
    words: Words,
    order: Order,
    outcome: Outcome,
) -> bool:
    job = ledger.get(job_id)
    if job is None or not job.in_queue:
        outcome.stderr.append(f"Job {job_id} not found")
        return False
    why = act(job)
    if not why:
        outcome.stdout.append(f"Job {job_id} {words.done}")
        return True
    text = {
        "permission": f"Permission denied to {words.verb} job {job_id}",
        "already": f"Job {job_id} already {words.done}",
        "not held": f"Job {job_id} not held to be released",
        "not removed": f"Job {job_id} not in `X' state to be forcibly removed",
    }[why]
    outcome.stderr.append(text)
    return False


def obstacle(order: Order, job: Job, uid: int) -> str:
    """Why this user cannot do this to this job now; "" if he can."""
    if uid not in (0, job.uid):
        return "permission"
    if order.command == "condor_rm":
        if order.force:
            return "" if job.status == REMOVED else "not removed"
        return "already" if job.status == REMOVED else ""
    if order.command == "condor_hold":
        if job.status == HELD:
            return "already"
        ended = (REMOVED, COMPLETED, TRANSFERRING_OUTPUT)
        return "permission" if job.status in ended else ""
    return "" if job.status == HELD else "not held"


def _event(order: Order, job: Job, user: str, schedd: str, now: float) -> JobMessage:
    by = f"(by user {user})"
    forced = " -forcex" if order.force else ""
    reason = f"{order.reason} {by}" if order.reason else f"via {order.command}{forced} {by}"
    if order.command == "condor_rm":
        return Removed(schedd, job.id, now, reason, order.force)
    if order.command == "condor_hold":
        return Held(schedd, job.id, now, HoldReason(1, order.subcode, reason))
    return Released(schedd, job.id, now, reason)


def _selected(group: Selection, ledger: Ledger) -> list[Job]:
    if group.clusters:
        return [job for cluster in group.clusters for job in ledger.in_queue(cluster=cluster)]
    if group.owner is not None:
        return ledger.in_queue(owner=group.owner)
    jobs = ledger.in_queue()
    if group.constraint:
        tree = parse(group.constraint)
        return [job for job in jobs if _matches(tree, job.ad)]
    return jobs


def _matches(tree: object, ad: Ad) -> bool:
    try:
        value = tree.eval(ad.classad())  # type: ignore[attr-defined]
    except ParseError:
        return False
    return value is True or (type(value) in (int, float) and value != 0)


def group(command: str, words: Sequence[str]) -> list[Selection]:
    """The groups of positional arguments: ids together, clusters together, each user."""
    ids = tuple(JobId.parse(word) for word in words if _is_id(word))
    clusters = tuple(int(word) for word in words if word.isascii() and word.isdigit())
    groups = []
    if ids:
        groups.append(Selection("", jobs=ids))
    if len(clusters) == 1:
        groups.append(Selection(f"in cluster {clusters[0]}", clusters=clusters))
    elif clusters:
        text = " || ".join(f"ClusterId == {cluster}" for cluster in clusters)
        groups.append(Selection(f"matching constraint ({text})", clusters=clusters))
    for word in words:
        if word and not word.isdigit() and not _is_id(word):
            groups.append(Selection(f'of user "{word}"', owner=word))
    return groups


def _is_id(word: str) -> bool:
    try:
        JobId.parse(word)
    except ValueError:
        return False
    return True
