"""The job's own policy expressions: what they say about it now.

As HTCondor's user job policy: an expression that is undefined or an error has
not fired. ``CurrentTime`` is the given ``now``; the function ``time()`` is
the library's own clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import classad2

from thyme.message import HoldReason

from .ads import Ad, ParseError
from .status import COMPLETED, HELD, REMOVED

#: HoldReasonCode of a hold by periodic_hold or on_exit_hold.
JOB_POLICY = 3


@dataclass(frozen=True)
class Verdict:
    """What to do with a job now: at most one of the three."""

    hold: HoldReason | None = None
    release: str = ""
    remove: str = ""


@dataclass(frozen=True)
class ExitVerdict:
    """Whether an ended job leaves the queue, is held instead, or (neither) runs again."""

    hold: HoldReason | None = None
    leaves: bool = True


def periodic(ad: Ad, status: int, now: float) -> Verdict:
    """The first periodic expression that fires: hold, then release, then remove."""
    if status in (REMOVED, COMPLETED) or not _has_any(ad, "Hold", "Release", "Remove"):
        return Verdict()
    scope = _scope(ad, now)
    if scope is None:
        return Verdict()
    if status != HELD and _fires(scope, "PeriodicHold"):
        return Verdict(hold=_hold(ad, scope, "PeriodicHold"))
    if status == HELD and _fires(scope, "PeriodicRelease"):
        return Verdict(release=_reason(ad, scope, "PeriodicRelease"))
    if _fires(scope, "PeriodicRemove"):
        return Verdict(remove=_reason(ad, scope, "PeriodicRemove"))
    return Verdict()


def on_exit(ad: Ad, now: float) -> ExitVerdict:
    """on_exit_hold and on_exit_remove for a job that has just ended."""
    if "OnExitHold" not in ad and "OnExitRemove" not in ad:
        return ExitVerdict()
    scope = _scope(ad, now)
    if scope is None:
        return ExitVerdict()
    if _fires(scope, "OnExitHold"):
        return ExitVerdict(hold=_hold(ad, scope, "OnExitHold"), leaves=False)
    # only false keeps it: undefined must not run a job for ever
    keeps = "OnExitRemove" in ad and _truth(_value(scope, "OnExitRemove")) is False
    return ExitVerdict(leaves=not keeps)


def stays_in_queue(ad: Ad, now: float) -> bool:
    """leave_in_queue: whether an ended job is still to be shown by condor_q."""
    expression = ad.get("LeaveJobInQueue", "false")
    if expression.lower() in ("true", "false"):
        return expression.lower() == "true"
    scope = _scope(ad, now)
    return scope is not None and _fires(scope, "LeaveJobInQueue")


def _has_any(ad: Ad, *kinds: str) -> bool:
    return any("Periodic" + kind in ad for kind in kinds)


def _scope(ad: Ad, now: float) -> classad2.ClassAd | None:
    try:
        scope = ad.classad()
    except (ParseError, ValueError):  # ValueError: text that is no UTF-8
        return None
    scope["CurrentTime"] = int(now)
    return scope


def _value(scope: classad2.ClassAd, name: str) -> Any:
    if name not in scope:
        return classad2.Value.Undefined
    try:
        # an empty target ad: without one the library does not know MY
        return scope.lookup(name).eval(scope, classad2.ClassAd())
    except ParseError:  # `random(0)` raises where other mistakes give the value error
        return classad2.Value.Error


def _fires(scope: classad2.ClassAd, name: str) -> bool:
    return _truth(_value(scope, name)) is True


def _truth(value: Any) -> bool | None:
    """Numbers count as booleans; None for all that is neither."""
    # Value.Error and Value.Undefined are ints too
    if isinstance(value, classad2.Value) or not isinstance(value, (bool, int, float)):
        return None
    return value != 0


def _fired(ad: Ad, name: str) -> str:
    return f"The job attribute {name} expression '{ad[name]}' evaluated to TRUE"


def _reason(ad: Ad, scope: classad2.ClassAd, name: str) -> str:
    own = _value(scope, name + "Reason")
    return own if isinstance(own, str) and own else _fired(ad, name)


def _hold(ad: Ad, scope: classad2.ClassAd, name: str) -> HoldReason:
    subcode = _value(scope, name + "SubCode")
    known = isinstance(subcode, int) and not isinstance(subcode, classad2.Value)
    return HoldReason(JOB_POLICY, int(subcode) if known else 0, _reason(ad, scope, name))
