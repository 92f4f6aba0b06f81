"""condor_vacate: end the runs of jobs on some machines; the jobs are queued again.

HTCondor's acts on the machine, whosever job it runs. Here no machine takes
orders: the schedd tells the workers of its own jobs, and of the caller's own
jobs unless he is root.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from thyme.protocol.events import JobMessage, Vacated
from vobox.client.usage import USAGES
from vobox.jobs.job import Job
from vobox.jobs.status import RUNNING, SUSPENDED
from vobox.ledger.writer import Ledger
from vobox.rpc.types import Answer, CommandRefused, Request
from vobox.schedd.command_gateway import CommandGateway

from .command_line import CommandLine, EarlyExit, Option, Word, answers_early
from .job_selection import may_modify

OPTIONS = (
    Option("help", 1),
    Option("version", 1),
    Option("all", 1),
    Option("fast", 2),
    Option("graceful", 1),
    Option("name", 1, values=1),
    Option("pool", 1, values=1, ignored=True),
    Option("debug", 2, ignored=True),
    Option("addr", 2, values=1, refused="workers have no address; name the machine or the slot"),
    Option("constraint", 1, values=1, refused="use condor_vacate_job -constraint for jobs"),
)
USAGE = USAGES["condor_vacate"]
COMMAND_LINE = CommandLine(
    OPTIONS,
    USAGE,
    unknown='ERROR: unknown parameter: "{option}"\n{usage}',
    missing="ERROR: {option} requires another argument\n{usage}",
    refused="condor_vacate: {option}: {why}\n",
    help_on_stderr=True,
)


@dataclass
class VacateTargets:
    """Hosts and slots; ``everything`` overrides them."""

    names: list[str] = field(default_factory=list)
    everything: bool = False
    fast: bool = False


def parse(argv: Sequence[str]) -> VacateTargets:
    """Read a command line; raises EarlyExit."""
    targets = VacateTargets()
    for item in COMMAND_LINE.parse(argv):
        if isinstance(item, Word):
            targets.names.append(item.text)
            continue
        targets.everything |= item.name == "all"
        targets.fast |= item.name == "fast"
        targets.names += item.values if item.name == "name" else ()
    if not targets.names and not targets.everything:
        raise EarlyExit(f"condor_vacate: no machine given, and none is run here\n{USAGE}")
    return targets


def decide(
    targets: VacateTargets, ledger: Ledger, uid: int, user: str, schedd: str, now: float
) -> tuple[Answer, list[JobMessage]]:
    """Decide what to answer and what to record; a failure unless each target had a job.

    :param uid: the caller's, ``user`` his name
    :param schedd: the name of ours, for the events
    :param now: epoch seconds
    """
    running = [
        job
        for job in ledger.read_worked_on()
        if job.status in (RUNNING, SUSPENDED) and may_modify(job, uid)
    ]
    stdout, stderr = "", ""
    chosen: dict[object, Job] = {}
    speed = "-Fast" if targets.fast else ""
    for name in [""] if targets.everything else targets.names:
        jobs = [job for job in running if _is_on(job, name)]
        chosen.update((job.id, job) for job in jobs)
        what = "Vacate-Claim" if "@" in name else "Vacate-All-Claims"
        where = f"startd {name}" if name else "all startds"
        if jobs:
            stdout += f'Sent "{what}{speed}" command to {where}\n'
        else:
            stderr += f"Can't find address for {where}\nPerhaps you need to query another pool.\n"
    reason = f"via condor_vacate (by user {user})"
    events: list[JobMessage] = [
        Vacated(schedd, job.id, now, reason, targets.fast) for job in chosen.values()
    ]
    return Answer(stdout, stderr, 1 if stderr else 0), events


def _is_on(job: Job, name: str) -> bool:
    """Return whether the job runs on that host or slot; on any for the empty name."""
    slot = job.ad.text("RemoteHost").lower()
    host = slot.rpartition("@")[2]
    return name.lower() in ("", slot, host, host.partition(".")[0])


@answers_early
def answer(request: Request, gateway: CommandGateway) -> Answer:
    """Carry out condor_vacate."""
    targets = parse(request.argv)
    try:
        return gateway.act(
            lambda ledger, now: decide(
                targets, ledger, request.uid, request.user, gateway.schedd_name, now
            )
        )
    except CommandRefused as error:
        return Answer(stderr=f"Can't connect to local schedd\ncondor_vacate: {error}\n", code=1)
