"""Check allowed_job_duration and allowed_execute_duration: whether a run has lasted too long.

The worker ends such a run itself and reports it with the run's output. This check is for a
worker that does not: one of an older release, or one whose clock stands still. As in HTCondor's
shadow, a job without the attribute, or with one that is not a number, has no limit.
"""

from __future__ import annotations

from typing import Final

from thyme.protocol.events import HoldReason
from thyme.protocol.hold_codes import HoldReasonCode
from vobox.classad.ad import Ad

from .status import RUNNING, SUSPENDED

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


def check_run_limits(ad: Ad, status: int, now: float) -> HoldReason | None:
    """Return why the job is to be held now, None if it is not; ``now``: epoch seconds."""
    if status not in (RUNNING, SUSPENDED):
        return None
    for limit, since, code, what in _LIMITS:
        seconds, began = ad.number(limit, -1), ad.number(since)
        if seconds >= 0 and began > 0 and now - began > seconds + WORKER_GRACE_SECONDS:
            text = f"The job exceeded allowed {what} duration of {format_duration(seconds)}"
            return HoldReason(code, 0, text)
    return None


def format_duration(seconds: int) -> str:
    """Format seconds as HTCondor does: ``3+00:00:00``, ``20:00:00``, ``2:05:00``, ``05:00``."""
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    text = f"{days}+{hours:02}:{minutes:02}:{seconds % 60:02}".lstrip("0+")
    return text[1:] if text.startswith(":") else text
