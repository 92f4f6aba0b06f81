"""Check what a job's own policy asks for: run limits, periodic_hold, on_exit_remove ...

As HTCondor's user job policy (src/condor_utils/user_job_policy.cpp): an
expression that is undefined or an error has not fired. ``CurrentTime`` is the
given ``now``; the function ``time()`` is the library's own clock. A caller that
checks many jobs passes one ``Evaluator`` to all of them: equal expressions with
equal values are then evaluated once.

The worker itself ends a run that exceeds allowed_job_duration or
allowed_execute_duration, and reports it with the run's output. The check here is for
a worker that does not, as one whose clock stands still.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import classad2

from thyme.protocol.events import HoldReason, clean_reason
from thyme.protocol.hold_codes import HoldReasonCode, format_duration
from vobox.classad.ad import Ad
from vobox.classad.expressions import Evaluator

from .status import COMPLETED, HELD, REMOVED, RUNNING, SUSPENDED

#: Seconds that the worker gets to end the run itself; its report brings the output.
WORKER_GRACE_SECONDS: Final = 60.0

_LIMITS: Final = (
    ("AllowedJobDuration", "JobCurrentStartDate", HoldReasonCode.JOB_DURATION_EXCEEDED, "job"),
    (
        "AllowedExecuteDuration",
        "JobCurrentStartExecutingDate",
        HoldReasonCode.JOB_EXECUTE_EXCEEDED,
        "execute",
    ),
)


@dataclass(frozen=True)
class PolicyAction:
    """What a job's policy asks for now: at most one of the three."""

    hold: HoldReason | None = None
    release: str = ""
    remove: str = ""


@dataclass(frozen=True)
class ExitAction:
    """Whether an ended job leaves the queue, is held instead, or (neither) runs again: why."""

    hold: HoldReason | None = None
    leaves: bool = True
    reason: str = ""


NO_ACTION = PolicyAction()


def check_periodic(
    ad: Ad, status: int, now: float, evaluator: Evaluator | None = None
) -> PolicyAction:
    """Return what a run limit, or the first periodic expression that fires, asks for.

    The expressions are checked in this order: hold, release, remove.
    ``status``: the job's JobStatus; ``now``: epoch seconds. Returns NO_ACTION if none fires.
    """
    # condor_hold is left alone by periodic_release; while input is spooled no policy is asked
    if status == REMOVED:
        return NO_ACTION
    code = ad.number("HoldReasonCode") if status == HELD else 0
    if code == HoldReasonCode.SPOOLING_INPUT:
        return NO_ACTION
    if (exceeded := check_run_limits(ad, status, now)) is not None:
        return PolicyAction(hold=exceeded)
    evaluator = evaluator or Evaluator(now)
    if status not in (HELD, COMPLETED) and _fires(evaluator, ad, "PeriodicHold"):
        return PolicyAction(hold=_hold(evaluator, ad, "PeriodicHold"))
    if (
        status == HELD
        and code != HoldReasonCode.USER_REQUEST
        and _fires(evaluator, ad, "PeriodicRelease")
    ):
        return PolicyAction(release=_reason(evaluator, ad, "PeriodicRelease"))
    if _fires(evaluator, ad, "PeriodicRemove"):
        return PolicyAction(remove=_reason(evaluator, ad, "PeriodicRemove"))
    return NO_ACTION


def check_run_limits(ad: Ad, status: int, now: float) -> HoldReason | None:
    """Return why a run that is too long is to be held; None without such a limit.

    ``status``: the job's JobStatus; ``now``: epoch seconds.
    """
    if status not in (RUNNING, SUSPENDED):
        return None
    for limit, since, code, what in _LIMITS:
        seconds, began = ad.number(limit, -1), ad.number(since)
        if seconds >= 0 and began > 0 and now - began > seconds + WORKER_GRACE_SECONDS:
            text = f"The job exceeded allowed {what} duration of {format_duration(seconds)}"
            return HoldReason(code, 0, text)
    return None


def check_on_exit(ad: Ad, now: float) -> ExitAction:
    """Evaluate on_exit_hold and on_exit_remove of a job whose program has ended.

    ``now``: when it ended, epoch seconds. JobStatus is that of a running job, as in HTCondor.
    """
    if "OnExitHold" not in ad and "OnExitRemove" not in ad:
        return ExitAction()
    evaluator, ad = Evaluator(now), ad.copy()
    ad["JobStatus"] = str(RUNNING)
    ad.pop("CompletionDate", None)
    if _fires(evaluator, ad, "OnExitHold"):
        return ExitAction(hold=_hold(evaluator, ad, "OnExitHold"), leaves=False)
    # only false keeps it: undefined must not run a job for ever
    if "OnExitRemove" not in ad or truth(evaluator.attribute(ad, "OnExitRemove")) is not False:
        return ExitAction()
    why = f"The job attribute OnExitRemove expression '{ad['OnExitRemove']}' evaluated to FALSE"
    return ExitAction(leaves=False, reason=clean_reason(why))


def stays_in_queue(ad: Ad, now: float, evaluator: Evaluator | None = None) -> bool:
    """Return whether leave_in_queue keeps an ended job in the queue.

    ``now``: epoch seconds; ``evaluator``: None: a new one.
    """
    return may_stay_in_queue(ad) and _fires(evaluator or Evaluator(now), ad, "LeaveJobInQueue")


def may_stay_in_queue(ad: Ad) -> bool:
    """Return whether leave_in_queue may keep an ended job in the queue at some time."""
    return ad.get("LeaveJobInQueue", "false").lower() != "false"


def _fires(evaluator: Evaluator, ad: Ad, name: str) -> bool:
    return name in ad and truth(evaluator.attribute(ad, name)) is True


def truth(value: Any) -> bool | None:
    """Convert a value to a boolean; None for what is neither a boolean nor a number."""
    # Value.Error and Value.Undefined are ints too
    if isinstance(value, classad2.Value) or not isinstance(value, (bool, int, float)):
        return None
    return value != 0


def _fired(ad: Ad, name: str) -> str:
    return f"The job attribute {name} expression '{ad[name]}' evaluated to TRUE"


def _reason(evaluator: Evaluator, ad: Ad, name: str) -> str:
    own = evaluator.attribute(ad, name + "Reason")
    return clean_reason(own if isinstance(own, str) and own else _fired(ad, name))


def _hold(evaluator: Evaluator, ad: Ad, name: str) -> HoldReason:
    subcode = evaluator.attribute(ad, name + "SubCode")
    known = isinstance(subcode, int) and not isinstance(subcode, classad2.Value)
    return HoldReason(
        HoldReasonCode.JOB_POLICY, int(subcode) if known else 0, _reason(evaluator, ad, name)
    )
