"""How many agents are queued and running: the CEs' own questions, and how they read the answers.

Each CE has its own regular expression and its own idea of a line that counts.
They are kept as they are, including "the last line that matches wins": an
answer of ours that one of them misreads would overfill or starve a site.
Unknown stays unknown (None): an error is never zero.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from shlex import quote


@dataclass(frozen=True)
class Answer:
    """What a shell command came back with; ``code`` is None when its time was over."""

    lines: Sequence[str]
    code: int | None


@dataclass(frozen=True)
class Counts:
    """What the CE holds against its two limits.

    ``active`` is AliEn's getNumberRunning: queued and running agents together
    with the current AliEn and JAliEn, running ones alone with the older AliEn.
    """

    queued: int | None
    active: int | None


Number = Callable[[Answer], "int | None"]


@dataclass(frozen=True)
class Query:
    """One shell command and which numbers its answer holds."""

    command: str
    queued: Number | None = None
    active: Number | None = None
    #: JAliEn reads stderr together with stdout
    merge_stderr: bool = False
    #: asked only when nothing seems to run; on failure all numbers are unknown
    health: bool = False


def counts(queries: Sequence[Query], ask: Callable[[Query], Answer]) -> Counts:
    """Ask each query; what a query does not tell stays unknown."""
    queued: int | None = None
    active: int | None = None
    for query in queries:
        if query.health:
            if not active and ask(query).code != 0:
                return Counts(None, None)
            continue
        answer = ask(query)
        if query.queued is not None:
            queued = query.queued(answer)
        if query.active is not None:
            active = query.active(answer)
    return Counts(queued, active)


# -- the current AliEn ---------------------------------------------------------

_TWO = re.compile(r"(\d+)\s+(\d+)", re.ASCII)
_ONE = re.compile(r"(\d+)", re.ASCII)


def _schedd_active(answer: Answer) -> int | None:
    found = _last(_TWO, answer)
    return int(found[1]) + int(found[2]) if found else None


def _schedd_queued(answer: Answer) -> int | None:
    found = _last(_ONE, answer)
    return int(found[1]) if found else None


def by_schedd() -> tuple[Query, ...]:
    return (
        Query("condor_status -schedd -af totalIdleJobs", queued=_schedd_queued),
        Query(
            "condor_status -schedd -af totalRunningJobs totalIdleJobs",
            active=_schedd_active,
        ),
    )


# -- the older AliEn -----------------------------------------------------------

_RUNNING = re.compile(r"(\d+) running", re.ASCII)
_TOTALS = re.compile(r"(\d+) idle,\s+(\d+) running,\s+(\d+) held,\s+(\d+) suspended", re.ASCII)


def _totals_running(answer: Answer) -> int | None:
    if answer.code != 0:
        return None
    found = _RUNNING.search("".join(answer.lines))
    return int(found[1]) if found else None


def _totals_queued(answer: Answer) -> int | None:
    if answer.code != 0:
        return None
    found = _TOTALS.search("".join(answer.lines))
    # The Perl's captures are undefined here and add up to 0, which overfills
    # the site; unknown is what it meant.
    return int(found[1]) + int(found[3]) + int(found[4]) if found else None


def by_totals(user: str) -> tuple[Query, ...]:
    """``tail`` hides condor_q's exit code from the CE, so a bare condor_q is the health check."""
    totals = f"condor_q {quote(user)} -totals | tail -n 1"
    return (
        Query(totals, queued=_totals_queued),
        Query(totals, active=_totals_running),
        Query("condor_q", health=True),
    )


# -- JAliEn --------------------------------------------------------------------

_JOB = re.compile(r"\s*([12]+)\s.*?(\S+)", re.ASCII)


def _listed(answer: Answer) -> list[str] | None:
    """JobStatus of each line; None when the command failed."""
    if answer.code != 0:
        return None
    matches = (_JOB.fullmatch(line.strip()) for line in answer.lines)
    return [match[1] for match in matches if match]


def _listed_queued(answer: Answer) -> int | None:
    listed = _listed(answer)
    return None if listed is None else listed.count("1")


def _listed_active(answer: Answer) -> int | None:
    listed = _listed(answer)
    return None if listed is None else listed.count("1") + listed.count("2")


def by_job_list(local_pool: bool) -> tuple[Query, ...]:
    """``local_pool``: a literal stands where the other CEs' GridResource would."""
    literal = " -format local_pool" if local_pool else ""
    command = f"condor_q -const 'JobStatus < 3' -af JobStatus{literal} GridResource"
    return (Query(command, queued=_listed_queued, active=_listed_active, merge_stderr=True),)


def _last(pattern: re.Pattern[str], answer: Answer) -> re.Match[str] | None:
    """The match in the last line that has one; AliEn returns undef on a failed command."""
    if answer.code != 0:
        return None
    found = None
    for line in answer.lines:
        found = pattern.search(line) or found
    return found
