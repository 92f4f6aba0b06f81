"""condor_q -better-analyze: which pilots meet a job's Requirements, clause by clause."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from vobox.classad.ad import Ad
from vobox.jobs.requirements import is_clause_met, remove_added_clause
from vobox.jobs.status import IDLE, RUNNING, SUSPENDED, TRANSFERRING_OUTPUT

#: CPU seconds that an analysis may take: an expression may be slow, and pilots are thousands.
MAX_SECONDS: Final = 2.0
_AT_WORK: Final = (RUNNING, SUSPENDED, TRANSFERRING_OUTPUT)


def render_analysis(jobs: Iterator[Ad], pilots: Sequence[Ad], now: float) -> Iterator[str]:
    """Yield the analysis of each job; ``pilots``: the known ones; ``now``: epoch seconds."""
    texts = [pilot.texts() for pilot in pilots]
    deadline = time.thread_time() + MAX_SECONDS
    for ad in jobs:
        if time.thread_time() > deadline:
            yield "The other jobs are not analyzed: it would take too long. Name fewer jobs.\n"
            return
        yield _render_job(ad, texts, now, deadline)


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


def _render_job(ad: Ad, pilots: Sequence[Mapping[str, str]], now: float, deadline: float) -> str:
    cluster, proc = ad.number("ClusterId"), ad.number("ProcId")
    name = f"{cluster}.{proc:03d}"
    requirements = ad.get("Requirements", "true")
    lines = [
        f"The Requirements expression for job {name} is", "", f"    {requirements}", "",
        f"The Requirements expression for job {name} reduces to these conditions:", "",
        "         Slots", "Step    Matched  Condition", "-----  --------  ---------",
    ]  # fmt: skip
    left = list(pilots)
    for step, clause in enumerate(split_clauses(requirements)):
        counted = remove_added_clause(clause)
        met = [pilot for pilot in pilots if _is_met(counted, ad, now, pilot, deadline)]
        left = [pilot for pilot in left if pilot in met]
        lines.append(f"{f'[{step}]':<5}  {len(met):8}  {clause}")
    lines += ["", *_render_summary(ad, name, len(pilots), len(left)), ""]
    return "".join(f"{line}\n" for line in lines)


def _is_met(clause: str, ad: Ad, now: float, pilot: Mapping[str, str], deadline: float) -> bool:
    return time.thread_time() > deadline or is_clause_met(clause, ad, now, pilot)


def _render_summary(ad: Ad, name: str, known: int, met: int) -> list[str]:
    lines = [
        f"{name}:  Run analysis summary.  Of {known} machines,",
        f"{known - met:7} are rejected by your job's requirements",
        f"{met:7} may run your job; any pilot takes it in turn",
    ]
    status = ad.number("JobStatus")
    if status in _AT_WORK:
        lines.append(f"Job {name} is running.")
    elif status != IDLE:
        lines.append(f"Job {name} is not idle: JobStatus is {status}.")
    elif known == 0:
        lines += ["", "WARNING:  Be advised:", "   No pilot is known at present"]
    elif met == 0:
        lines += ["", "WARNING:  Be advised:", "   No machines matched the jobs's constraints"]
    return lines
