"""Count queued and running agents with the CEs' own commands and regular expressions.

The expressions are those of each CE, including "the last matching line wins": output that one of
them misreads would overfill a site or leave it empty. Unknown is None; an error is never zero.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from shlex import quote


@dataclass(frozen=True)
class CommandResult:
    """The result of a shell command; ``code`` is None if it was killed after its timeout."""

    lines: Sequence[str]
    code: int | None


@dataclass(frozen=True)
class Counts:
    """The numbers that the CE compares with its two limits.

    ``active`` is AliEn's getNumberRunning: queued and running agents together
    with the current AliEn and JAliEn, running ones alone with the older AliEn.
    """

    queued: int | None
    active: int | None


ReadNumber = Callable[[CommandResult], "int | None"]


@dataclass(frozen=True)
class Query:
    """One shell command and how to read numbers from its output."""

    command: str
    queued: ReadNumber | None = None
    active: ReadNumber | None = None
    #: JAliEn reads stdout and stderr together.
    merge_stderr: bool = False
    #: Run only if nothing seems to be running; if it fails, all numbers are unknown.
    health: bool = False


def count_agents(queries: Sequence[Query], ask: Callable[[Query], CommandResult]) -> Counts:
    """Run the queries with ``ask``; numbers that none of them tells stay unknown."""
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


def _read_schedd_active(answer: CommandResult) -> int | None:
    found = _find_last(_TWO, answer)
    return int(found[1]) + int(found[2]) if found else None


def _read_schedd_queued(answer: CommandResult) -> int | None:
    found = _find_last(_ONE, answer)
    return int(found[1]) if found else None


def schedd_queries() -> tuple[Query, ...]:
    """Build the current AliEn's queries."""
    return (
        Query("condor_status -schedd -af totalIdleJobs", queued=_read_schedd_queued),
        Query(
            "condor_status -schedd -af totalRunningJobs totalIdleJobs",
            active=_read_schedd_active,
        ),
    )


# -- the older AliEn -----------------------------------------------------------

_RUNNING = re.compile(r"(\d+) running", re.ASCII)
_TOTALS = re.compile(r"(\d+) idle,\s+(\d+) running,\s+(\d+) held,\s+(\d+) suspended", re.ASCII)


def _read_totals_running(answer: CommandResult) -> int | None:
    if answer.code != 0:
        return None
    found = _RUNNING.search("".join(answer.lines))
    return int(found[1]) if found else None


def _read_totals_queued(answer: CommandResult) -> int | None:
    if answer.code != 0:
        return None
    found = _TOTALS.search("".join(answer.lines))
    # Here the Perl adds undefined captures to 0, which would overfill the site.
    return int(found[1]) + int(found[3]) + int(found[4]) if found else None


def totals_queries(user: str) -> tuple[Query, ...]:
    """Build the older AliEn's queries; ``tail`` hides an exit code, hence the plain condor_q."""
    totals = f"condor_q {quote(user)} -totals | tail -n 1"
    return (
        Query(totals, queued=_read_totals_queued),
        Query(totals, active=_read_totals_running),
        Query("condor_q", health=True),
    )


# -- AliEn v2-19 ---------------------------------------------------------------


def _read_first_number(answer: CommandResult) -> int | None:
    found = _ONE.search("".join(answer.lines)) if answer.code == 0 else None
    return int(found[1]) if found else None


def schedd_total_queries() -> tuple[Query, ...]:
    """Build the queries of v2-19's HTCONDOR.pm: running ones alone are active."""
    return (
        Query("condor_status -schedd -af totalIdleJobs", queued=_read_first_number),
        Query("condor_status -schedd -af totalRunningJobs", active=_read_first_number),
    )


def owner_line_queries() -> tuple[Query, ...]:
    """Build the queries of v2-19's CONDOR.pm; ``wc`` hides an exit code, hence the last one."""
    owners = 'condor_q -format "%s\\n" OWNER -constraint'
    return (
        Query(f'{owners} "JobStatus==1" | wc -l', queued=_read_first_number),
        Query(f'{owners} "JobStatus==1 || JobStatus==2" | wc -l', active=_read_first_number),
        Query("condor_q", health=True),
    )


# -- JAliEn --------------------------------------------------------------------

_JOB = re.compile(r"\s*([12]+)\s.*?(\S+)", re.ASCII)


def _list_states(answer: CommandResult) -> list[str] | None:
    """List the JobStatus of each line; None if the command failed."""
    if answer.code != 0:
        return None
    matches = (_JOB.fullmatch(line.strip()) for line in answer.lines)
    return [match[1] for match in matches if match]


def _count_listed_queued(answer: CommandResult) -> int | None:
    listed = _list_states(answer)
    return None if listed is None else listed.count("1")


def _count_listed_active(answer: CommandResult) -> int | None:
    listed = _list_states(answer)
    return None if listed is None else listed.count("1") + listed.count("2")


def job_list_queries(local_pool: bool) -> tuple[Query, ...]:
    """Build JAliEn's query; ``local_pool``: with a literal instead of GridResource."""
    literal = " -format local_pool" if local_pool else ""
    command = f"condor_q -const 'JobStatus < 3' -af JobStatus{literal} GridResource"
    return (
        Query(command, queued=_count_listed_queued, active=_count_listed_active, merge_stderr=True),
    )


def _find_last(pattern: re.Pattern[str], answer: CommandResult) -> re.Match[str] | None:
    """Find the match in the last line that has one; None if the command failed, as in AliEn."""
    if answer.code != 0:
        return None
    found = None
    for line in answer.lines:
        found = pattern.search(line) or found
    return found
