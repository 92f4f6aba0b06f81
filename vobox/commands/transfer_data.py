"""condor_transfer_data: fetch the output of jobs that were submitted with -spool or -remote.

The schedd writes it, as the job's owner, where the job's description says:
into the directory that condor_submit was run in. It stays here as well, until
the job leaves the queue, and may be fetched again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from thyme.errors import BadMessage
from thyme.protocol import codec
from thyme.protocol.events import Finished, expect_kind
from thyme.protocol.job import JobId
from vobox.classad.ad import ParseError, parse
from vobox.files import output
from vobox.jobs.job import Job
from vobox.jobs.output_destination import OUTPUT_KINDS, is_spooled
from vobox.ledger.writer import Ledger
from vobox.rpc.types import Answer, Request, SubmitRefused

from .common import cleaned
from .job_actions import Selection, groups_of, selected
from .option_parser import Flag, MissingValue, Option, UnknownOption, parse_arguments
from .schedd_names import is_schedd
from .version import VERSION_TEXT

OPTIONS = (
    Option("constraint", 1, values=1),
    Option("all", 3),
    Option("addr", 2, values=1),
    Option("name", 1, values=1),
    Option("pool", 1, values=1),
    Option("stm", 1, values=1),
    Option("debug", 1, ignored=True),
    Option("version", 1),
    Option("help", 1),
)
USAGE = (
    "Usage: condor_transfer_data [-name SCHEDD] [-pool HOST] "
    "{CLUSTER | CLUSTER.PROC | USER | -constraint EXPR | -all}...\n"
)
_FAILED = "ERROR: Failed to spool job files.\n"
#: Runs a look at the ledger in the schedd's own thread; raises SubmitRefused.
Look = Callable[[Callable[[Ledger, float], list[Job]]], list[Job]]
ReadBody = Callable[[JobId, str], "bytes | None"]


class BadCommandLine(Exception):
    """The whole text for stderr."""


@dataclass(frozen=True)
class Order:
    groups: tuple[Selection, ...]


def read(argv: Sequence[str], schedd: str) -> Order | Answer:
    """What a command line means, or the answer that needs no schedd; raises BadCommandLine."""
    words: list[str] = []
    constraints: list[str] = []
    everything = False
    try:
        for item in parse_arguments(cleaned(argv), OPTIONS):
            if not isinstance(item, Flag):
                words.append(item.text)
                continue
            name, value = item.option.name, (item.values or ("",))[0]
            if name == "help":
                return Answer(stderr=USAGE)
            if name == "version":
                return Answer(VERSION_TEXT)
            if name == "name" and not is_schedd(value, schedd):
                raise BadCommandLine(
                    f"condor_transfer_data: Can't find address of schedd {value}\n"
                )
            if name == "constraint":
                constraints.append(_constraint(value))
            everything = everything or name == "all"
    except UnknownOption as error:
        raise BadCommandLine(f"Unrecognized option: {error.spelled}\n{USAGE}") from error
    except MissingValue as error:
        name = error.flag.option.name
        raise BadCommandLine(
            f"condor_transfer_data: -{name} requires another argument\n"
        ) from error
    words = [word for word in words if word]  # DIRAC's empty word means our own schedd
    if everything and (words or constraints):
        raise BadCommandLine("condor_transfer_data: can't mix -all with other constraints\n")
    groups = (Selection(""),) if everything else tuple(groups_of(words, constraints))
    if not groups:
        raise BadCommandLine(f"You did not specify any jobs\n{USAGE}")
    return Order(groups)


def _constraint(text: str) -> str:
    try:
        parse(text)
    except ParseError:
        raise BadCommandLine(
            f"condor_transfer_data: could not parse constraint ( {text} )\n{_FAILED}"
        ) from None
    return text


def answer(request: Request, schedd: str, look: Look, body: ReadBody) -> Answer:
    """Carry the command out; exit code 1 where a job's output could not be fetched, or no job is
    meant."""
    try:
        order = read(request.argv, schedd)
    except BadCommandLine as error:
        return Answer(stderr=str(error), code=1)
    if isinstance(order, Answer):
        return order
    stdout, notes, failures = "Fetching data files...\n", "", ""
    try:
        named = [job for group in order.groups for job in group.jobs]
        jobs = look(lambda ledger, now: _jobs(order, ledger, now))
        known = {job.id for job in jobs}
        for missing in [str(job) for job in named if job not in known]:
            failures += f"Job {missing} not found\n"
        for job in jobs:
            failure, note = _fetch(job, request.uid, job.id in named, body)
            failures, notes = failures + failure, notes + note
    except SubmitRefused as error:
        return Answer(stdout, f"\n{error}\n{_FAILED}", 1)
    if not jobs and not failures:
        failures = "no job in the queue is meant\n"
    if failures:
        return Answer(stdout, f"{notes}\n{failures}{_FAILED}", 1)
    return Answer(stdout, notes)


def _jobs(order: Order, ledger: Ledger, now: float) -> list[Job]:
    found: dict[JobId, Job] = {}
    for group in order.groups:
        if group.jobs:
            known = [job for each in group.jobs if (job := ledger.get(each)) and job.in_queue]
        else:
            known = selected(group, ledger, now)
        found.update((job.id, job) for job in known)
    return list(found.values())


def _fetch(job: Job, uid: int, named: bool, body: ReadBody) -> tuple[str, str]:
    """Write one job's output; what went wrong, and what is worth a word, each "" or a line.

    ``named``: by its id; what a cluster or an owner has besides spooled jobs is passed over.
    """
    if uid not in (0, job.uid):
        return (f"Permission denied to fetch the output of job {job.id}\n" if named else ""), ""
    if not is_spooled(job.ad):
        where = job.ad.text("Iwd")
        text = f"Job {job.id} was not submitted with -spool; its output is written to {where}\n"
        return (text if named else ""), ""
    data = next((found for kind in OUTPUT_KINDS if (found := body(job.id, kind))), None)
    if data is None:
        return "", f"Job {job.id} has no output yet\n"
    try:
        hold = output.fetch_output(job, expect_kind(codec.decode(data), Finished))
    except BadMessage as error:
        return f"Job {job.id}: {error}\n", ""
    return (f"Job {job.id}: {hold.text}\n" if hold else ""), ""
