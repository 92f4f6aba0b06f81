"""The job's own policy expressions: what they say about it now.

As HTCondor's user job policy (src/condor_utils/user_job_policy.cpp): an
expression that is undefined or an error has not fired. ``CurrentTime`` is the
given ``now``; the function ``time()`` is the library's own clock. Jobs with
the same expressions and the same values are evaluated once: who looks at many
hands one ``Evaluator`` to all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import classad2

from thyme.protocol.events import HoldReason
from vobox.classad.ad import Ad
from vobox.classad.expressions import Evaluator

from .status import COMPLETED, HELD, REMOVED

#: HoldReasonCode of a hold by periodic_hold or on_exit_hold.
JOB_POLICY = 3
#: HoldReasonCodes of jobs that periodic_release leaves alone: held by condor_hold; waiting
#: for their input, which no policy of theirs is asked about at all.
USER_REQUEST, SPOOLING_INPUT = 1, 16


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


NOTHING = Verdict()


def periodic(ad: Ad, status: int, now: float, evaluator: Evaluator | None = None) -> Verdict:
    """The first periodic expression that fires: hold, then release, then remove."""
    if status == REMOVED:
        return NOTHING
    code = ad.number("HoldReasonCode") if status == HELD else 0
    if code == SPOOLING_INPUT:
        return NOTHING
    look = evaluator or Evaluator(now)
    if status not in (HELD, COMPLETED) and _fires(look, ad, "PeriodicHold"):
        return Verdict(hold=_hold(look, ad, "PeriodicHold"))
    if status == HELD and code != USER_REQUEST and _fires(look, ad, "PeriodicRelease"):
        return Verdict(release=_reason(look, ad, "PeriodicRelease"))
    if _fires(look, ad, "PeriodicRemove"):
        return Verdict(remove=_reason(look, ad, "PeriodicRemove"))
    return NOTHING


def on_exit(ad: Ad, now: float) -> ExitVerdict:
    """on_exit_hold and on_exit_remove for a job that has just ended."""
    if "OnExitHold" not in ad and "OnExitRemove" not in ad:
        return ExitVerdict()
    look = Evaluator(now)
    if _fires(look, ad, "OnExitHold"):
        return ExitVerdict(hold=_hold(look, ad, "OnExitHold"), leaves=False)
    # only false keeps it: undefined must not run a job for ever
    keeps = "OnExitRemove" in ad and truth(look.attribute(ad, "OnExitRemove")) is False
    return ExitVerdict(leaves=not keeps)


def stays_in_queue(ad: Ad, now: float, evaluator: Evaluator | None = None) -> bool:
    """leave_in_queue: whether an ended job is still to be shown by condor_q."""
    expression = ad.get("LeaveJobInQueue", "false")
    if expression.lower() in ("true", "false"):
        return bool(expression.lower() == "true")
    return _fires(evaluator or Evaluator(now), ad, "LeaveJobInQueue")


def _fires(look: Evaluator, ad: Ad, name: str) -> bool:
    return name in ad and truth(look.attribute(ad, name)) is True


def truth(value: Any) -> bool | None:
    """Whether it has fired. Numbers count as booleans; None for all that is neither."""
    # Value.Error and Value.Undefined are ints too
    if isinstance(value, classad2.Value) or not isinstance(value, (bool, int, float)):
        return None
    return value != 0


def _fired(ad: Ad, name: str) -> str:
    return f"The job attribute {name} expression '{ad[name]}' evaluated to TRUE"


def _reason(look: Evaluator, ad: Ad, name: str) -> str:
    own = look.attribute(ad, name + "Reason")
    return own if isinstance(own, str) and own else _fired(ad, name)


def _hold(look: Evaluator, ad: Ad, name: str) -> HoldReason:
    subcode = look.attribute(ad, name + "SubCode")
    known = isinstance(subcode, int) and not isinstance(subcode, classad2.Value)
    return HoldReason(JOB_POLICY, int(subcode) if known else 0, _reason(look, ad, name))
