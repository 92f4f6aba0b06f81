"""Back off when pilots find no work; break the circuit when they fail.

Both learn from how pilots end, and work alike.  The first bad end raises the level
and sets the time of the next probe; one pilot is then tried at a time, and each probe
that ends badly doubles the wait.  A probe that goes well sets the level back to 0,
and the node fills again at once.

Plancton knows nothing of jobs, so a running pilot is taken to have *found
work* when it lives clearly longer than those that gave up, or uses CPU.

Only pilots that started after the wait are probes: 48 pilots that give up together count once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from enum import Enum

from plancton.config.model import Config, fingerprint_pilots
from plancton.model import Breaker, History, NoWork, Pilot, PilotState

#: How much longer than the most patient of the pilots that gave up a pilot must live
#: to count as one that did not: a share, and seconds for the short ones.
PATIENCE_SHARE = 0.25
PATIENCE_MARGIN = 1.0
#: Seconds by which an age and ``now``, read one after the other, may disagree.
CLOCK_ERROR = 0.001
#: A wait is not doubled more often than this (2^20 of any allowed wait is beyond its maximum).
MAX_DOUBLINGS = 20


class PilotOutcome(Enum):
    """What the end of a pilot says about the node and the work."""

    NORMAL = "normal"
    NO_WORK = "no work"
    FAILURE = "failure"
    SAYS_NOTHING = "says nothing"  #: evicted, too old, or exit code unknown


def classify_end(pilot: Pilot, config: Config) -> PilotOutcome:
    """Return what the end of an exited pilot says."""
    if pilot.asked_to_stop:
        return PilotOutcome.SAYS_NOTHING
    if pilot.never_ran:
        # Whatever quick_death says: trying again at once would only waste the owner's CPU.
        return PilotOutcome.FAILURE
    if pilot.exit_code == 0:
        return PilotOutcome.NORMAL
    if pilot.exit_code in config.exit_no_work:
        return PilotOutcome.NO_WORK
    if pilot.exit_code in config.exit_failure:
        return PilotOutcome.FAILURE
    if pilot.age is not None and pilot.age < config.quick_death:
        return PilotOutcome.FAILURE
    # It worked for a while and then died: its own fault, not the node's.
    return PilotOutcome.SAYS_NOTHING


def forget_if_changed(
    history: History, config: Config, image: str, retry: bool, now: float
) -> History:
    """Return the history without what was learned about pilots that are started no more.

    Failures of a pilot say nothing about another one: after a change of its configuration or of
    its image, or when the admin says so (``retry``), pilots are tried again.  ``image`` is the
    digest that new pilots are made from, "" where that is not known.
    """
    pilot_config = fingerprint_pilots(config)
    changed = retry or (history.pilot_config not in ("", pilot_config))
    changed = changed or (image != "" and history.pilot_image not in ("", image))
    history = replace(history, pilot_config=pilot_config, pilot_image=image or history.pilot_image)
    if not changed:
        return history
    return replace(history, no_work=NoWork(), breaker=Breaker(), forgotten_at=now)


def count_ends(history: History, pilots: Iterable[Pilot], config: Config, now: float) -> History:
    """Return the history with every new end counted once, and every running probe judged.

    ``pilots``: all that the engine lists; ``now``: monotonic seconds.
    """
    exited = [pilot for pilot in pilots if pilot.state is PilotState.EXITED]
    running = [pilot for pilot in pilots if pilot.state is PilotState.RUNNING]
    no_work, breaker = history.no_work, history.breaker
    # The oldest end first would be best; engines do not tell when, so the longest life first:
    # a probe's good end in the same pass must win over an older pilot's bad one.
    for pilot in sorted(exited, key=lambda pilot: -(pilot.age or 0.0)):
        if pilot.id in history.judged or _is_forgotten(history, pilot, now):
            continue
        outcome = classify_end(pilot, config)
        no_work = _no_work_after(no_work, pilot, outcome, config, now)
        breaker = _breaker_after(breaker, pilot, outcome, config, now)
    for pilot in running:
        if is_probe(no_work, pilot, now) and _found_work(no_work, pilot, config):
            no_work = replace(no_work, level=0)
        sound = _outlived(max(breaker.patience, config.quick_death), pilot)
        if breaker.level and sound and is_probe(breaker, pilot, now):
            breaker = Breaker(patience=breaker.patience)
    return replace(
        history,
        no_work=no_work,
        breaker=breaker,
        judged=frozenset(pilot.id for pilot in exited),
    )


def count_failed_start(history: History, reason: str, config: Config, now: float) -> History:
    """Return the history after the engine refused a start for ``reason``: a pilot that failed.

    ``now``: monotonic seconds.
    """
    return replace(history, breaker=_failure(history.breaker, reason, 0.0, True, config, now))


def find_searching_pilots(pilots: Iterable[Pilot], no_work: NoWork, config: Config) -> list[Pilot]:
    """Return those of ``pilots`` that may still be looking for work.

    ``no_work``: what is known of pilots that found no work.
    """
    return [
        pilot
        for pilot in pilots
        if pilot.state in (PilotState.STARTING, PilotState.RUNNING)
        and not _found_work(no_work, pilot, config)
    ]


def is_probe(backoff: NoWork | Breaker, pilot: Pilot, now: float) -> bool:
    """Tell whether the pilot started after the wait of ``backoff``.

    Not "after the level was raised": a pilot launched just before may come up just after.
    An exited pilot's age is its life, so its start is at the latest that long ago.
    """
    return pilot.age is not None and now - pilot.age >= backoff.next_probe - CLOCK_ERROR


def describe_end(pilot: Pilot) -> str:
    """Return an exited pilot's end for people, e.g. ``exit code 4 after 0.2 s``."""
    code = "exit code unknown" if pilot.exit_code is None else f"exit code {pilot.exit_code}"
    after = "" if pilot.age is None else f" after {pilot.age:.1f} s"
    detail = f", {pilot.detail}" if pilot.detail else ""
    return code + after + detail


def _is_forgotten(history: History, pilot: Pilot, now: float) -> bool:
    """Tell whether the pilot started before the present kind of pilot."""
    if history.forgotten_at is None or pilot.age is None:
        return False
    return now - pilot.age < history.forgotten_at - CLOCK_ERROR


def _no_work_after(
    no_work: NoWork, pilot: Pilot, outcome: PilotOutcome, config: Config, now: float
) -> NoWork:
    if outcome is PilotOutcome.NORMAL:
        # A pilot that found its work long ago says nothing about the work that there is now.
        recent = is_probe(no_work, pilot, now) or not _outlived(no_work.patience, pilot)
        return replace(no_work, level=0) if recent else no_work
    if outcome is not PilotOutcome.NO_WORK:
        return no_work
    patience = max(no_work.patience, pilot.age or 0.0)
    if no_work.level and not is_probe(no_work, pilot, now):
        # Started before the back-off: part of the news that raised the level already.
        return replace(no_work, patience=patience)
    level = no_work.level + 1
    wait = _doubled(config.no_work_backoff, level, config.no_work_backoff_max)
    return NoWork(level=level, next_probe=now + wait, patience=patience)


def _breaker_after(
    breaker: Breaker, pilot: Pilot, outcome: PilotOutcome, config: Config, now: float
) -> Breaker:
    if outcome in (PilotOutcome.NORMAL, PilotOutcome.NO_WORK):
        # A pilot that looked for work and found none could work.
        return Breaker()
    if outcome is not PilotOutcome.FAILURE:
        return breaker
    probe = is_probe(breaker, pilot, now)
    return _failure(
        breaker, f"{pilot.name}: {describe_end(pilot)}", pilot.age or 0.0, probe, config, now
    )


def _failure(
    breaker: Breaker, reason: str, lived: float, probe: bool, config: Config, now: float
) -> Breaker:
    failures = breaker.failures + 1
    after = replace(
        breaker, failures=failures, reason=reason, patience=max(breaker.patience, lived)
    )
    if breaker.level and not probe:
        return after
    if failures < config.breaker_failures:
        return after
    level = breaker.level + 1
    wait = _doubled(config.breaker_backoff, level, config.breaker_backoff_max)
    return replace(after, level=level, next_probe=now + wait)


def _doubled(first: float, level: int, most: float) -> float:
    wait: float = min(most, first * 2.0 ** min(level - 1, MAX_DOUBLINGS))
    return wait


def _outlived(patience: float, pilot: Pilot) -> bool:
    return pilot.age is not None and pilot.age > patience * (1.0 + PATIENCE_SHARE) + PATIENCE_MARGIN


def _found_work(no_work: NoWork, pilot: Pilot, config: Config) -> bool:
    if pilot.cpu_seconds is not None and pilot.cpu_seconds >= config.probe_cpu:
        return True
    return no_work.level > 0 and _outlived(no_work.patience, pilot)
