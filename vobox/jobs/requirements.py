"""Keep jobs idle whose Requirements no known pilot meets.

Pilots take jobs in turn: Requirements do not choose the pilot. A job is kept from them where its
Requirements are false for every pilot that is known, by the ad that ``condor_status`` shows of it:
``false``, another system's ``OpSys``, more Memory than any has, or ARC's ``NumJobStarts == 0``
after the first start, which means "never start twice". What a pilot does not say is undefined, and
a job whose Requirements are undefined runs. As long as no pilot is known, what all of them share
decides.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import classad2

from thyme.protocol.job import JobId
from vobox.classad.ad import Ad, ParseError, evaluable, parse
from vobox.classad.regexps import limit_regexps

from .job import Job

#: Returns the ads of the pilots that are known now, as texts.
ListPilots = Callable[[], Iterable[Mapping[str, str]]]

#: The attributes that the machines of all pilots share.
_COMMON_MACHINE: Final = {"OpSys": '"LINUX"', "HasFileTransfer": "true"}
#: Pilots without a CPU limit say that they have one CPU. So the clause that condor_submit adds for
#: request_cpus does not count; one that the user wrote does.
_ADDED_CPUS: Final = "(TARGET.Cpus >= RequestCpus)"
_WORD: Final = re.compile(r"[A-Za-z_]\w*")
#: Whose attribute the next word is.
_SCOPE: Final = re.compile(r"\b(?:MY|TARGET)\s*\.\s*(?=[A-Za-z_])", re.IGNORECASE)
#: Names of what differs from job to job although their ads say the same.
_CHANGING: Final = frozenset({"random", "eval", "unparse", "my", "self", "evalineachcontext"})
#: Different pilots, as far as a job asks for what they say, that are tried for it.
MAX_TRIED: Final = 2000
#: CPU seconds after which no further pilot is tried for a job.
MAX_MATCH_SECONDS: Final = 0.1
#: CPU seconds after which a step looks at no further job.
MAX_SELECT_SECONDS: Final = 0.03
#: Seconds after which a new pilot counts for a job that cannot match.
NEW_PILOT_SECONDS: Final = 5.0


def list_no_pilots() -> Iterable[Mapping[str, str]]:
    """Return that no pilot is known."""
    return ()


def can_match(
    ad: Ad,
    now: float,
    list_pilots: ListPilots = list_no_pilots,
    answers: dict[tuple[str | None, ...], bool] | None = None,
) -> bool:
    """Return whether a known pilot may meet the job's Requirements.

    ``now``: epoch seconds; ``list_pilots``: the pilots' ads. Without any, what they share counts.
    ``answers``: of other jobs, with the same time and pilots; the answer is added.
    """
    text = remove_added_clause(ad.get("Requirements", "true"))
    try:
        mentioned = _find_names(ad, text)
        key = (text, *map(ad.get, mentioned))
        if answers is not None and key in answers:
            return answers[key]
        tree = parse(limit_regexps(text))
        answer = _meets_any(tree, ad, now, mentioned, list_pilots)
        if answers is not None and _CHANGING.isdisjoint(mentioned):
            answers[key] = answer
        return answer
    except (ParseError, ValueError):  # ValueError: text that is no UTF-8
        return True


def _meets_any(
    tree: classad2.ExprTree,
    ad: Ad,
    now: float,
    mentioned: Sequence[str],
    list_pilots: ListPilots,
) -> bool:
    """Return whether the Requirements ``tree`` may be met by a known pilot.

    ``now``: epoch seconds; ``mentioned``: the names in lower case that the Requirements spell.
    """
    tried: set[tuple[str | None, ...]] = set()
    deadline = time.thread_time() + MAX_MATCH_SECONDS
    for pilot in list_pilots():
        said = tuple(map(Ad(pilot).get, mentioned))
        if said in tried:
            continue
        if _is_met(tree, ad, now, dict(zip(mentioned, said, strict=True))):
            return True
        tried.add(said)
        if len(tried) == MAX_TRIED or time.thread_time() > deadline:
            return True  # nobody knows
    return not tried and _is_met(tree, ad, now, {})


def remove_added_clause(text: str) -> str:
    """Return Requirements without the clause that does not count (``_ADDED_CPUS``)."""
    return text.replace(_ADDED_CPUS, "true")


def is_clause_met(text: str, ad: Ad, now: float, pilot: Mapping[str, str]) -> bool:
    """Return whether a pilot may meet an expression of a job; ``now``: epoch seconds."""
    try:
        return _is_met(parse(limit_regexps(text)), ad, now, pilot)
    except (ParseError, ValueError):
        return True


def _find_names(ad: Ad, text: str) -> tuple[str, ...]:
    """Return the names that an expression spells, also by way of the job's attributes."""
    found: dict[str, None] = {}
    pending = [text]
    while pending:
        for name in map(str.lower, _WORD.findall(_SCOPE.sub("", pending.pop()))):
            if name not in found:
                found[name] = None
                pending.append(ad.get(name, ""))
    return tuple(found)


def _is_met(tree: classad2.ExprTree, ad: Ad, now: float, pilot: Mapping[str, str | None]) -> bool:
    said = {name: text for name, text in pilot.items() if text is not None}
    machine = {**_COMMON_MACHINE, **Ad(said)}
    # with a target ad the library knows no CurrentTime, and looks up a plain name only here
    known = Ad({"CurrentTime": str(int(now)), **machine, **dict(ad.pairs())})
    value: Any = tree.eval(evaluable(known), Ad(machine).classad())
    # Value.Error and Value.Undefined are ints, too
    return isinstance(value, classad2.Value) or value not in (False, 0, 0.0)


class MatchingJobs:
    """Selects the idle jobs that may be queued; those that cannot match are checked again later."""

    def __init__(self, interval: float, cpu_time: Callable[[], float] = time.thread_time) -> None:
        """``interval``: seconds until a job that cannot match is checked again."""
        self._cpu_time = cpu_time
        self._interval = interval
        self._next_check: dict[JobId, float] = {}
        self._arrivals = 0
        self._next_arrivals = 0.0

    def forget_others(self, idle: Sequence[JobId]) -> None:
        """Forget when other jobs than these, all that are to be queued, are checked again."""
        self._next_check = {job: self._next_check[job] for job in idle if job in self._next_check}

    def put_off(self, jobs: Iterable[JobId], clock: float) -> None:
        """Look at these jobs again as late as at those that cannot match."""
        self._next_check.update(dict.fromkeys(jobs, clock + self._interval))

    def select(
        self,
        idle: deque[JobId],
        job_of: Callable[[JobId], Job | None],
        clock: float,
        wall: float,
        limit: int,
        list_pilots: ListPilots = list_no_pilots,
        arrivals: int = 0,
    ) -> list[Job]:
        """Return at most ``limit`` jobs that can match.

        ``idle``: jobs that have no message in the job queue, from which those that were looked at
        are taken; ``job_of`` returns such a job, None if it is not to be queued any more;
        ``clock``: monotonic, ``wall``: epoch seconds; ``list_pilots``: the ads of the known pilots;
        ``arrivals``: how many pilots have become known so far.
        """
        if arrivals != self._arrivals and clock >= self._next_arrivals:
            self._arrivals, self._next_arrivals = arrivals, clock + NEW_PILOT_SECONDS
            self._next_check.clear()
        found: list[Job] = []
        answers: dict[tuple[str | None, ...], bool] = {}
        deadline = self._cpu_time() + MAX_SELECT_SECONDS
        # the rest is looked at in the next step: claims and commands wait for this one
        while idle and len(found) < limit and self._cpu_time() <= deadline:
            job_id = idle.popleft()
            job = job_of(job_id) if clock >= self._next_check.get(job_id, clock) else None
            if job is None:
                continue
            if can_match(job.ad, wall, list_pilots, answers):
                found.append(job)
            else:
                self._next_check[job_id] = clock + self._interval
        return found
