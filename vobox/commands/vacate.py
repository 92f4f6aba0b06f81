"""condor_vacate: end the runs of jobs on some machines; the jobs are queued again.

HTCondor's acts on the machine, whosever job it runs. Here no machine takes
orders: the schedd tells the workers of its own jobs, and of the caller's own
jobs unless he is root.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from thyme.protocol.events import JobMessage, Vacated
from vobox.jobs.job import Job
from vobox.jobs.status import RUNNING, SUSPENDED
from vobox.ledger.writer import Ledger
from vobox.rpc.types import Answer, Request, SubmitRefused
from vobox.schedd.command_gateway import CommandGateway

from .common import cleaned
from .job_selection import may_touch
from .option_parser import Flag, MissingValue, Option, UnknownOption, parse_arguments
from .version import VERSION_TEXT

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
USAGE = "Usage: condor_vacate [-fast | -graceful] {-all | HOST | SLOT@HOST}...\n"


class BadCommandLine(Exception):
    """The whole text for stderr."""


@dataclass
class Targets:
    """Hosts and slots; ``everything`` overrides them."""

    names: list[str] = field(default_factory=list)
    everything: bool = False
    fast: bool = False


def read(argv: Sequence[str]) -> Targets | Answer:
    """The targets of a command line, or the answer without them; raises BadCommandLine."""
    made = Targets()
    try:
        for item in parse_arguments(cleaned(argv), OPTIONS):
            if not isinstance(item, Flag):
                made.names += [item.text] if item.text else []
                continue
            name = item.option.name
            if name == "help":
                return Answer(stderr=USAGE)
            if name == "version":
                return Answer(VERSION_TEXT)
            if item.option.refused:
                raise BadCommandLine(f"condor_vacate: {item.spelled}: {item.option.refused}\n")
            made.everything |= name == "all"
            made.fast |= name == "fast"
            made.names += item.values if name == "name" else ()
    except UnknownOption as error:
        raise BadCommandLine(f'ERROR: unknown parameter: "{error.spelled}"\n{USAGE}') from error
    except MissingValue as error:
        text = f"ERROR: {error.flag.spelled} requires another argument\n{USAGE}"
        raise BadCommandLine(text) from error
    if not made.names and not made.everything:
        raise BadCommandLine(f"condor_vacate: no machine given, and none is run here\n{USAGE}")
    return made


def decide(
    targets: Targets, ledger: Ledger, uid: int, user: str, schedd: str, now: float
) -> tuple[Answer, list[JobMessage]]:
    """What is said, and what is to be recorded; a failure unless each target had a job."""
    running = [
        job
        for job in ledger.in_queue()
        if job.worker and job.status in (RUNNING, SUSPENDED) and may_touch(job, uid)
    ]
    said, failed = "", ""
    chosen: dict[object, Job] = {}
    speed = "-Fast" if targets.fast else ""
    for name in [""] if targets.everything else targets.names:
        jobs = [job for job in running if _is_on(job, name)]
        chosen.update((job.id, job) for job in jobs)
        what = "Vacate-Claim" if "@" in name else "Vacate-All-Claims"
        where = f"startd {name}" if name else "all startds"
        if jobs:
            said += f'Sent "{what}{speed}" command to {where}\n'
        else:
            failed += f"Can't find address for {where}\nPerhaps you need to query another pool.\n"
    reason = f"via condor_vacate (by user {user})"
    events: list[JobMessage] = [
        Vacated(schedd, job.id, now, reason, targets.fast) for job in chosen.values()
    ]
    return Answer(said, failed, 1 if failed else 0), events


def _is_on(job: Job, name: str) -> bool:
    """Whether it runs on that host or slot; on any for the empty name."""
    slot = job.ad.text("RemoteHost").lower()
    host = slot.rpartition("@")[2]
    return name.lower() in ("", slot, host, host.partition(".")[0])


def answer(request: Request, gateway: CommandGateway) -> Answer:
    """Carry out condor_vacate."""
    try:
        targets = read(request.argv)
    except BadCommandLine as error:
        return Answer(stderr=str(error), code=1)
    if isinstance(targets, Answer):
        return targets
    said = Answer()

    def carry_out(ledger: Ledger, now: float) -> list[JobMessage]:
        nonlocal said
        said, events = decide(targets, ledger, request.uid, request.user, gateway.schedd_name, now)
        return events

    try:
        gateway.act(carry_out)
    except SubmitRefused as error:
        return Answer(stderr=f"Can't connect to local schedd\ncondor_vacate: {error}\n", code=1)
    return said
