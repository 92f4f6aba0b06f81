"""condor_transfer_data: fetch the output of jobs that were submitted with -spool or -remote.

The schedd writes it, as the job's owner, where the job's description says:
into the directory that condor_submit was run in. It stays here as well, until
the job leaves the queue, and may be fetched again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from thyme.errors import BadMessage
from thyme.protocol import codec
from thyme.protocol.events import Edited, Finished, JobMessage, expect_kind
from thyme.protocol.job import JobId
from vobox.client.usage import USAGES
from vobox.files import output
from vobox.jobs.job import Job
from vobox.jobs.output_destination import OUTPUT_KINDS, is_spooled
from vobox.ledger.writer import Ledger
from vobox.rpc.types import Answer, CommandRefused, Request
from vobox.schedd.command_gateway import CommandGateway

from .command_line import (
    CommandLine,
    EarlyExit,
    Option,
    Word,
    answers_early,
    check_expression,
)
from .job_selection import (
    JobGroup,
    build_groups,
    evaluate_constraints,
    is_cluster_id,
    is_job_id,
    may_modify,
    names_nothing,
    select_jobs,
)
from .schedd_names import is_schedd

OPTIONS = (
    Option("constraint", 1, values=1),
    Option("addr", 2, values=1),
    Option("all", 1),
    Option("name", 1, values=1),
    Option("pool", 1, values=1),
    Option("stm", 1, values=1),
    Option("debug", 1, ignored=True),
    Option("version", 1),
    Option("help", 1),
)
USAGE = USAGES["condor_transfer_data"]
#: Jobs that are read from the ledger at once: their ads may be large.
SLICE: Final = 100
_FAILED = "ERROR: Failed to spool job files.\n"
COMMAND_LINE = CommandLine(
    OPTIONS,
    USAGE,
    unknown="Unrecognized option: {option}\n{usage}",
    missing="condor_transfer_data: -{name} requires another argument\n",
    help_on_stderr=True,
)
ReadBody = Callable[[JobId, str], "bytes | None"]


def parse(argv: Sequence[str], schedd: str) -> tuple[list[JobGroup], str]:
    """Return the jobs that a command line means, and what is said of words that mean none.

    Raises EarlyExit. ``schedd``: the name of ours.
    """
    words: list[str] = []
    constraints: list[str] = []
    everything = False
    for item in COMMAND_LINE.parse(argv):
        if isinstance(item, Word):
            words.append(item.text)
            continue
        if item.name == "name" and not is_schedd(item.value, schedd):
            raise EarlyExit(f"condor_transfer_data: Can't find address of schedd {item.value}\n")
        if item.name == "constraint":
            error = f"condor_transfer_data: could not parse constraint ( {item.value} )\n{_FAILED}"
            check_expression(item.value, error)
            constraints.append(item.value)
        everything |= item.name == "all"
    if everything and (words or constraints):
        raise EarlyExit("condor_transfer_data: can't mix -all with other constraints\n")
    if not (everything or words or constraints):
        raise EarlyExit(f"You did not specify any jobs\n{USAGE}")
    notes = "".join(map(_describe_unusable, words))
    words = [word for word in words if not _describe_unusable(word)]
    groups = [JobGroup("")] if everything else build_groups(words, constraints)
    if not groups:
        raise EarlyExit(f"{notes}Unable to create a job constraint!\n")
    return groups, notes


def _describe_unusable(word: str) -> str:
    """Return the line about a word that begins like an id and is none; "" for others."""
    if names_nothing(word):
        return f"Invalid cluster # from {word}.\n"
    if word[0].isdigit() and not is_job_id(word) and not is_cluster_id(word.removesuffix(".")):
        return f'Warning: unrecognized "{word}" skipped.\n'
    return ""


@answers_early
def answer(request: Request, gateway: CommandGateway) -> Answer:
    """Carry out condor_transfer_data.

    The exit code is 1 where a job's output could not be fetched. As with HTCondor, a job that is
    not there, another user's or not spooled is passed over.
    """
    groups: Sequence[JobGroup]
    groups, notes = parse(request.argv, gateway.schedd_name)
    stdout, failures = "Fetching data files...\n", ""
    fetched: list[JobId] = []
    try:
        groups = evaluate_constraints(groups, request, gateway)
        ids, begun = gateway.look(lambda ledger, now: (_find(groups, ledger, request.uid), now))
        for job in _read_jobs(ids, gateway):
            failure, note = _fetch(job, gateway.body, fetched)
            failures, notes = failures + failure, notes + note
        if fetched:
            gateway.act(lambda ledger, now: (None, _record_fetch(gateway, fetched, begun, now)))
    except CommandRefused as error:
        return Answer(stdout, f"\n{error}\n{_FAILED}", 1)
    if failures:
        return Answer(stdout, f"{notes}\n{failures}{_FAILED}", 1)
    return Answer(stdout, notes)


def _record_fetch(
    gateway: CommandGateway, jobs: Sequence[JobId], begun: float, now: float
) -> list[JobMessage]:
    """Return the events that record when the output of these jobs was fetched.

    Many descriptions keep a job in the queue until StageOutFinish is set.
    """
    times = {"StageOutStart": str(int(begun)), "StageOutFinish": str(int(now))}
    return [Edited(gateway.schedd_name, job, now, times) for job in jobs]


def _find(groups: Sequence[JobGroup], ledger: Ledger, uid: int) -> list[JobId]:
    """Return the jobs that the groups mean and this user may read, each once."""
    states = (state for group in groups for state in select_jobs(group, ledger))
    return list(dict.fromkeys(state.id for state in states if may_modify(state, uid)))


def _read_jobs(ids: Sequence[JobId], gateway: CommandGateway) -> Iterator[Job]:
    """Yield those of the jobs that are in the queue; never are all of them in memory."""
    for start in range(0, len(ids), SLICE):
        some = ids[start : start + SLICE]
        jobs = gateway.look(partial(_get_jobs, some))
        yield from (job for job in jobs if job is not None and job.in_queue)


def _get_jobs(ids: Sequence[JobId], ledger: Ledger, _now: float) -> list[Job | None]:
    return [ledger.get(each) for each in ids]


def _fetch(job: Job, body: ReadBody, fetched: list[JobId]) -> tuple[str, str]:
    """Write one job's output; return an error and a remark, each one line or "".

    Adds the job to ``fetched`` if its output was written.
    """
    if not is_spooled(job.ad):
        return "", ""
    data = next((found for kind in OUTPUT_KINDS if (found := body(job.id, kind))), None)
    if data is None:
        return "", f"Job {job.id} has no output yet\n"
    try:
        hold = output.fetch_output(job, expect_kind(codec.decode(data), Finished))
    except BadMessage as error:
        return f"Job {job.id}: {error}\n", ""
    if hold is not None:
        return f"Job {job.id}: {hold.text}\n", ""
    fetched.append(job.id)
    return "", ""
