"""allowed_job_duration and allowed_execute_duration: whether a run has lasted too long.

The worker ends such a run by itself and says so with the run's output. This is for a worker
that does not: one of an older release, or one whose clock stands still. As HTCondor's shadow,
a job without the attribute, or with one that is no number, has no limit. The codes are
JobDurationExceeded and JobExecuteExceeded.
"""

from __future__ import annotations

from typing import Final

from thyme.protocol.events import HoldReason
from vobox.classad.ad import Ad

from .status import RUNNING, SUSPENDED

JOB_DURATION: Final = 46
EXECUTE_DURATION: Final = 47
#: Seconds that the worker gets to say it itself; its word brings the output.
PATIENCE: Final = 60.0

_LIMITS: Final = (
    ("AllowedJobDuration", "JobCurrentStartDate", JOB_DURATION, "job"),
    ("AllowedExecuteDuration", "JobCurrentStartExecutingDate", EXECUTE_DURATION, "execute"),
)


def exceeded(ad: Ad, status: int, now: float) -> HoldReason | None:
    """Why the job is to be held now; ``now``: epoch seconds."""
    if status not in (RUNNING, SUSPENDED):
        return None
    for limit, since, code, what in _LIMITS:
        seconds, began = ad.number(limit, -1), ad.number(since)
        if seconds >= 0 and began > 0 and now - began > seconds + PATIENCE:
            text = f"The job exceeded allowed {what} duration of {duration(seconds)}"
            return HoldReason(code, 0, text)
    return None


def duration(seconds: int) -> str:
    """``3+00:00:00``, ``20:00:00``, ``2:05:00``, ``05:00``: as HTCondor's short form."""
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    text = f"{days}+{hours:02}:{minutes:02}:{seconds % 60:02}".lstrip("0+")
    return text[1:] if text.startswith(":") else text
