"""Which jobs the words and constraints of a command line mean, and who may change them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from thyme.protocol.job import JobId
from vobox.classad.ad import read_old_syntax
from vobox.classad.expressions import Evaluator
from vobox.jobs.job import Job
from vobox.jobs.status import HELD
from vobox.ledger.writer import JobState, Ledger
from vobox.rpc.types import QueueView, Request

if TYPE_CHECKING:
    from vobox.schedd.command_gateway import CommandGateway


@dataclass(frozen=True)
class JobGroup:
    """Jobs that a command line names together, and how the answer names them.

    ``clusters`` and ``owners`` are alternatives; no such given means every
    job. ``constraints`` must hold as well.
    """

    description: str  #: " in cluster 7", " matching constraint (…)", …; "" for job ids and for all
    jobs: tuple[JobId, ...] = ()
    clusters: tuple[int, ...] = ()
    owners: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    #: the jobs for which the constraints hold; None where they were not evaluated yet
    found: tuple[JobId, ...] | None = None


def select_jobs(group: JobGroup, ledger: Ledger, only_unqueued: bool = False) -> list[JobState]:
    """Return the jobs in the queue that a group means, each once.

    :param group: where it has constraints, ``evaluate_constraints`` must have found their jobs
    :param ledger: is asked
    :param only_unqueued: see ``Ledger.list_states``
    """
    list_states = partial(ledger.list_states, only_unqueued=only_unqueued)
    if group.jobs:
        return list_states(ids=dict.fromkeys(group.jobs))
    if group.constraints or group.found is not None:
        return list_states(ids=group.found or ())
    jobs: dict[JobId, JobState] = {}
    for cluster in group.clusters:
        jobs.update((job.id, job) for job in list_states(cluster=cluster))
    for owner in group.owners:
        jobs.update((job.id, job) for job in list_states(owner=owner))
    if not group.clusters and not group.owners:
        jobs.update((job.id, job) for job in list_states())
    return list(jobs.values())


def find_matching(
    view: QueueView, request: Request, now: float, *, clusters: Sequence[int] = (),
    owners: Sequence[str] = (), constraints: Sequence[str], everybody: bool = False,
) -> tuple[JobId, ...]:  # fmt: skip
    """Return the jobs that the caller may change for which every constraint holds.

    To be called in the thread of the command: constraints may take their time.

    :param now: epoch seconds
    :param clusters: and ``owners``: jobs of one of them; neither: any
    :param constraints: expressions as typed, which can be parsed
    :param everybody: also jobs that he may not change
    :raises TooSlow: if the caller's expressions take too long
    """
    texts = [read_old_syntax(text) for text in constraints]
    evaluator = Evaluator(now, charge=request.charge)
    user, wanted = request.user.lower(), {owner.lower() for owner in owners}
    found = []
    own = request.uid != 0 and not everybody
    for ad in view.read_jobs(owners=[request.user] if own else None):
        owner, job = ad.text("Owner").lower(), JobId(ad.number("ClusterId"), ad.number("ProcId"))
        if own and owner != user:
            continue
        if (clusters or owners) and job.cluster not in clusters and owner not in wanted:
            continue
        if all(evaluator.holds(ad, text) for text in texts):
            found.append(job)
    return tuple(found)


def evaluate_constraints(
    groups: Sequence[JobGroup], request: Request, gateway: CommandGateway, everybody: bool = False
) -> tuple[JobGroup, ...]:
    """Return the groups with the jobs that their constraints select; raises CommandRefused.

    ``everybody``: also jobs that the caller may not change.
    """

    def evaluate(group: JobGroup) -> tuple[JobId, ...]:
        return gateway.search(
            lambda view, now: find_matching(
                view, request, now,
                clusters=group.clusters, owners=group.owners, constraints=group.constraints,
                everybody=everybody,
            )
        )  # fmt: skip

    return tuple(
        replace(group, found=evaluate(group)) if group.constraints and not group.jobs else group
        for group in groups
    )


def names_nothing(word: str) -> bool:
    """Return whether the word names cluster 0: HTCondor complains, and does the others."""
    if is_job_id(word):
        return JobId.parse(word).cluster == 0
    return is_cluster_id(word) and int(word) == 0


def build_groups(
    words: Sequence[str], constraints: Sequence[str], held: bool = False
) -> list[JobGroup]:
    """Return the groups of positional arguments and constraints; ``held``: only held jobs."""
    ids = tuple(JobId.parse(word) for word in words if is_job_id(word))
    clusters = tuple(int(word) for word in words if is_cluster_id(word))
    users = tuple(word for word in words if not is_job_id(word) and not is_cluster_id(word))
    groups = [JobGroup("", jobs=ids)] if ids and not held else []
    names = [
        f"ClusterId == {int(word)}" if is_cluster_id(word) else f'Owner == "{word}"'
        for word in words
        if not is_job_id(word)
    ]
    selected = JobGroup("", clusters=clusters, owners=users, constraints=tuple(constraints))
    if held and ids:
        names += [f"(ClusterId == {job.cluster} && ProcId == {job.proc})" for job in ids]
        selected = JobGroup("", constraints=(*constraints, " || ".join(names)))
    if constraints:
        parts = [*constraints, " || ".join(names)] if names else list(constraints)
        text = parts[0] if len(parts) == 1 else " && ".join(f"({part})" for part in parts)
        what = f" matching constraint ({text})"
    elif len(names) > 1 or (names and held and ids):
        what = f" matching constraint ({' || '.join(names)})"
    elif names:
        what = f" in cluster {clusters[0]}" if clusters else f' of user "{users[0]}"'
    else:
        what = ""
    if held:
        selected = replace(selected, constraints=(*selected.constraints, f"JobStatus == {HELD}"))
    if names or constraints or held:
        groups.append(replace(selected, description=what))
    return groups


def is_cluster_id(word: str) -> bool:
    """Return whether the word is a cluster id, good or not."""
    # Python makes no number of some thousand digits
    return word.isascii() and word.isdigit() and len(word) < 1000


def is_job_id(word: str) -> bool:
    """Return whether the word is ``CLUSTER.PROC``."""
    try:
        JobId.parse(word)
    except ValueError:
        return False
    return True


def find_states(ledger: Ledger, word: str) -> list[JobState]:
    """Return the states of the jobs that ``find_jobs`` returns."""
    if is_job_id(word):
        return ledger.list_states(ids=[JobId.parse(word)])
    if is_cluster_id(word):
        return ledger.list_states(cluster=int(word))
    return ledger.list_states(owner=word)


def find_jobs(ledger: Ledger, word: str) -> Iterable[Job]:
    """Return the jobs in the queue that ``C.P``, ``C`` or an owner's name means."""
    if is_job_id(word):
        job = ledger.get(JobId.parse(word))
        return [job] if job is not None and job.in_queue else []
    if is_cluster_id(word):
        return ledger.read_queue(cluster=int(word))
    return ledger.read_queue(owner=word)


def may_modify(job: Job | JobState, uid: int) -> bool:
    """Return whether this user may change the job and read its files: its owner and root may."""
    return uid in (0, job.uid)
