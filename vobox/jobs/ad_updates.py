"""Set the attributes of a job's ad that HTCondor sets when something happens to the job.

Each function changes the ad that it is given; which event leads to which state
is in ``transitions.py``. Times are epoch seconds.
"""

from __future__ import annotations

from typing import Final

from thyme.protocol.events import Finished, HoldReason, Usage
from thyme.protocol.hold_codes import HoldReasonCode
from vobox.classad.ad import Ad, literal

from .status import HELD, SUSPENDED

#: Holds that the user asked for: they do not count in NumSystemHolds.
_USER_HOLDS: Final = (HoldReasonCode.USER_REQUEST, HoldReasonCode.SUBMITTED_ON_HOLD)


def set_status(ad: Ad, status: int, before: int, now: float) -> None:
    """Set JobStatus and what goes with it; ``before``: the JobStatus that the job leaves."""
    if status != before:
        ad["LastJobStatus"] = literal(before)
    if before == SUSPENDED:
        stood = max(0, int(now) - ad.number("LastSuspensionTime", int(now)))
        ad["CumulativeSuspensionTime"] = literal(ad.number("CumulativeSuspensionTime") + stood)
        ad["LastSuspensionTime"] = literal(0)
    ad["JobStatus"] = literal(status)
    ad["EnteredCurrentStatus"] = literal(int(now))


def set_initial_status(ad: Ad, status: int) -> None:
    """Set what every ad says from the start, whatever its message says."""
    text = literal(status)
    if ad.get("JobStatus") != text:  # mostly equal: the ad then shares its template's
        ad["JobStatus"] = text
    if status == HELD:
        ad["NumHolds"] = literal(1)


def record_start(ad: Ad, host: str, now: float) -> None:
    """Set what goes with the start of a run; ``host``: the slot, ``slot1_7@node``."""
    start = literal(int(now))
    ad.setdefault("JobStartDate", start)
    if "JobCurrentStartDate" in ad:
        ad["JobLastStartDate"] = ad["JobCurrentStartDate"]
    ad["JobCurrentStartDate"] = ad["JobCurrentStartExecutingDate"] = start
    for counter in ("NumJobStarts", "JobRunCount", "NumShadowStarts"):
        ad[counter] = literal(ad.number(counter) + 1)
    ad["RemoteHost"] = literal(host)
    ad["CurrentHosts"] = literal(1)
    ad.pop("TerminationPending", None)


def record_end(ad: Ad, host: str, used: Usage) -> None:
    """Set what goes with the end of a run whose worker reported what it used."""
    clear_remote_host(ad, host)
    _add_wall(ad, used.wall)
    for name, seconds in (("User", used.user_cpu), ("Sys", used.system_cpu)):
        total = f"CumulativeRemote{name}Cpu"
        ad[total] = literal(_real(ad, total) + round(seconds, 6))
        ad[f"Remote{name}Cpu"] = literal(round(seconds, 6))
    if used.peak_rss:
        ad["ResidentSetSize"] = ad["ResidentSetSize_RAW"] = literal(used.peak_rss)
        ad["MemoryUsage"] = "((ResidentSetSize + 1023) / 1024)"


def record_loss(ad: Ad, now: float) -> None:
    """Set what goes with a run that was given up: only its wall-clock time is known."""
    started = ad.number("JobCurrentStartDate")
    if "RemoteHost" in ad and started:
        _add_wall(ad, max(0.0, float(int(now) - started)))
    clear_remote_host(ad, "")


def clear_remote_host(ad: Ad, host: str = "") -> None:
    """Move RemoteHost to LastRemoteHost; ``host``: of a run whose start was never reported."""
    ran_on = ad.pop("RemoteHost", literal(host) if host else None)
    if ran_on is not None:
        ad["LastRemoteHost"] = ran_on
    ad["CurrentHosts"] = literal(0)


def record_exit(ad: Ad, event: Finished) -> None:
    """Set exit code or signal; only for a job that ran."""
    ad["ExitBySignal"] = literal(event.signal is not None)
    ad.pop("ExitCode", None)
    ad.pop("ExitSignal", None)
    if event.signal is not None:
        ad["ExitSignal"] = literal(event.signal)
    else:
        ad["ExitCode"] = literal(event.exit_code or 0)
    ad["TerminationPending"] = "true"
    sent = len(event.stdout) + len(event.stderr) + sum(len(file.data) for file in event.files)
    ad["BytesSent"] = literal(float(sent))
    ad["NumJobCompletions"] = literal(ad.number("NumJobCompletions") + 1)


def record_removal_while_running(ad: Ad) -> None:
    """Count a running job that is removed as ended by SIGTERM, as HTCondor does."""
    ad["ExitBySignal"], ad["ExitSignal"] = "true", literal(15)
    ad.pop("ExitCode", None)


def record_hold(ad: Ad, hold: HoldReason) -> None:
    """Set the hold reason and count the hold."""
    ad["HoldReason"] = literal(hold.text)
    ad["HoldReasonCode"], ad["HoldReasonSubCode"] = literal(hold.code), literal(hold.subcode)
    ad["NumHolds"] = literal(ad.number("NumHolds") + 1)
    if hold.code not in _USER_HOLDS:
        ad["NumSystemHolds"] = literal(ad.number("NumSystemHolds") + 1)


def clear_hold(ad: Ad) -> None:
    """Move HoldReason, its code and subcode to LastHoldReason...; a released job has none."""
    for name in ("HoldReason", "HoldReasonCode", "HoldReasonSubCode"):
        text = ad.pop(name, "undefined")
        if text != "undefined":  # earlier releases left this behind
            ad["Last" + name] = text


def _add_wall(ad: Ad, seconds: float) -> None:
    for name in ("RemoteWallClockTime", "CumulativeSlotTime"):
        ad[name] = literal(_real(ad, name) + round(seconds, 6))
    ad["LastRemoteWallClockTime"] = literal(round(seconds, 6))


def _real(ad: Ad, name: str) -> float:
    try:
        return float(ad[name])
    except (KeyError, ValueError):
        return 0.0
