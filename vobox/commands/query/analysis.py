"""condor_q -better-analyze: which pilots meet a job's Requirements, and why it is still idle."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from thyme.protocol.job import JobId
from vobox.classad.ad import Ad
from vobox.jobs.requirements import is_clause_met, remove_added_clause
from vobox.jobs.status import HELD, IDLE, RUNNING, SUSPENDED, TRANSFERRING_OUTPUT
from vobox.rpc.types import QueueView

from .kept_ads import keep_ads

#: CPU seconds that an analysis may take: an expression may be slow, and pilots are thousands.
MAX_SECONDS: Final = 2.0
_AT_WORK: Final = (RUNNING, SUSPENDED, TRANSFERRING_OUTPUT)


def render_analysis(
    jobs: Iterator[Ad], view: QueueView, now: float, are_queued: bool
) -> Iterator[str]:
    """Yield the analysis of each job.

    ``now``: epoch seconds; ``are_queued``: they are jobs of this schedd, not of a file.
    """
    pilots = list(keep_ads(view.read_slots(), view))
    texts = [pilot.texts() for pilot in pilots]
    deadline = time.thread_time() + MAX_SECONDS
    for ad in jobs:
        analysis = _render_job(ad, texts, now, deadline)
        if are_queued and ad.number("JobStatus") == IDLE:
            analysis += f"{_describe_idle_job(ad, pilots, view)}\n\n"
        if time.thread_time() > deadline:  # some pilots may not have been looked at
            yield (
                f"From job {_name_job(ad)} on nothing is analyzed: it takes too long. Name fewer "
                "jobs, or simplify their Requirements.\n"
            )
            return
        yield analysis


def _name_job(ad: Ad) -> str:
    return f"{ad.number('ClusterId')}.{ad.number('ProcId'):03d}"


def split_clauses(text: str) -> list[str]:
    """Return the operands of the ``&&`` of an expression that are in no parentheses."""
    clauses, depth, start, quote, position = [], 0, 0, "", 0
    while position < len(text):
        character = text[position]
        if quote:
            if character == "\\":
                position += 1
            elif character == quote:
                quote = ""
        elif character in "\"'":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif depth == 0 and text.startswith("&&", position):
            clauses.append(text[start:position])
            start = position + 2
            position += 1
        elif depth == 0 and (text.startswith("||", position) or character == "?"):
            return [text.strip()]  # the whole is one condition
        position += 1
    clauses.append(text[start:])
    return [clause.strip() for clause in clauses]


def _describe_idle_job(ad: Ad, pilots: list[Ad], view: QueueView) -> str:
    """Say what an idle job waits for: its place in the queue, and what the pilots do."""
    name = _name_job(ad)
    before = view.count_queued_before(JobId(ad.number("ClusterId"), ad.number("ProcId")))
    if before is None:
        return (
            f"Job {name} is idle and not in the queue of its pool: no known pilot meets its "
            "Requirements, or it could not be run and will be queued again."
        )
    waiting = sum(pilot.text("State") == "Unclaimed" for pilot in pilots)
    return (
        f"Job {name} is idle; jobs queued before it: {before}. "
        f"Pilots that wait for a job: {waiting}, that have one: {len(pilots) - waiting}."
    )


def _render_job(ad: Ad, pilots: Sequence[Mapping[str, str]], now: float, deadline: float) -> str:
    name = _name_job(ad)
    requirements = ad.get("Requirements", "true")
    lines = [
        f"The Requirements expression for job {name} is", "", f"    {requirements}", "",
        f"The Requirements expression for job {name} reduces to these conditions:", "",
        "         Slots", "Step    Matched  Condition", "-----  --------  ---------",
    ]  # fmt: skip
    left = set(range(len(pilots)))
    for step, clause in enumerate(split_clauses(requirements)):
        counted = remove_added_clause(clause)
        met = {
            number
            for number, pilot in enumerate(pilots)
            if time.thread_time() < deadline and is_clause_met(counted, ad, now, pilot)
        }
        left &= met
        lines.append(f"{f'[{step}]':<5}  {len(met):8}  {clause}")
    lines += ["", *_render_summary(ad, name, len(pilots), len(left)), ""]
    return "".join(f"{line}\n" for line in lines)


def _render_summary(ad: Ad, name: str, known: int, met: int) -> list[str]:
    lines = [
        f"{name}:  Run analysis summary.  Of {known} machines,",
        f"{known - met:7} are rejected by your job's requirements",
        f"{met:7} may run your job; any pilot takes it in turn",
    ]
    status = ad.number("JobStatus")
    if status in _AT_WORK:
        lines.append(f"Job {name} is running.")
    elif status == HELD:
        lines += ["", f"{name}:  Job is held.", "", f"Hold reason: {ad.text('HoldReason')}"]
    elif status != IDLE:
        lines.append(f"Job {name} is not idle: JobStatus is {status}.")
    elif known == 0:
        lines += ["", "WARNING:  Be advised:", "   No pilot is known at present"]
    elif met == 0:
        lines += ["", "WARNING:  Be advised:", "   No machines matched the jobs's constraints"]
    return lines
