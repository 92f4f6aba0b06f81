"""When HTCondor sets which attribute of a job's ad (contract section 5).

Each function is one thing that happens to a job, told to its ad alone; the
job's way through its states is in ``fold.py``.
"""

from __future__ import annotations

from thyme.protocol.events import Finished, HoldReason, Usage
from vobox.classad.ad import Ad, literal

from .status import HELD, SUSPENDED

#: HoldReasonCode of ``hold = true``, the one hold that leaves no line in the user log.
SUBMITTED_ON_HOLD = 15
#: HoldReasonCode of condor_hold.
USER_REQUEST = 1


def entered(ad: Ad, status: int, before: int, now: float) -> None:
    """``before`` is the JobStatus that it leaves."""
    if status != before:
        ad["LastJobStatus"] = literal(before)
    if before == SUSPENDED:
        stood = max(0, int(now) - ad.number("LastSuspensionTime", int(now)))
        ad["CumulativeSuspensionTime"] = literal(ad.number("CumulativeSuspensionTime") + stood)
        ad["LastSuspensionTime"] = literal(0)
    ad["JobStatus"] = literal(status)
    ad["EnteredCurrentStatus"] = literal(int(now))


def created(ad: Ad, status: int) -> None:
    said = literal(status)
    if ad.get("JobStatus") != said:  # mostly it is: then it is the template's
        ad["JobStatus"] = said
    if status == HELD:
        ad["NumHolds"] = literal(1)


def run_started(ad: Ad, host: str, now: float) -> None:
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


def run_ended(ad: Ad, host: str, used: Usage) -> None:
    """The run is over, however it ended, and its worker said what it used."""
    nobody_runs(ad, host)
    _add_wall(ad, used.wall)
    for name, seconds in (("User", used.user_cpu), ("Sys", used.system_cpu)):
        total = f"CumulativeRemote{name}Cpu"
        ad[total] = literal(_real(ad, total) + round(seconds, 6))
        ad[f"Remote{name}Cpu"] = literal(round(seconds, 6))
    if used.peak_rss:
        ad["ResidentSetSize"] = ad["ResidentSetSize_RAW"] = literal(used.peak_rss)
        ad["MemoryUsage"] = "((ResidentSetSize + 1023) / 1024)"


def run_lost(ad: Ad, now: float) -> None:
    """Nobody said how it ended; wall-clock time is known, CPU time is not."""
    started = ad.number("JobCurrentStartDate")
    if "RemoteHost" in ad and started:
        _add_wall(ad, max(0.0, float(int(now) - started)))
    nobody_runs(ad, "")


def nobody_runs(ad: Ad, host: str = "") -> None:
    """RemoteHost is there only while the job runs; ``host`` is for a run never seen starting."""
    ran_on = ad.pop("RemoteHost", literal(host) if host else None)
    if ran_on is not None:
        ad["LastRemoteHost"] = ran_on
    ad["CurrentHosts"] = literal(0)


def exited(ad: Ad, event: Finished) -> None:
    """How it ended by itself; not to be called for a job that never ran."""
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


def removed_while_running(ad: Ad) -> None:
    """As HTCondor: a running job that is removed counts as ended by SIGTERM."""
    ad["ExitBySignal"], ad["ExitSignal"] = "true", literal(15)
    ad.pop("ExitCode", None)


def held(ad: Ad, hold: HoldReason) -> None:
    ad["HoldReason"] = literal(hold.text)
    ad["HoldReasonCode"], ad["HoldReasonSubCode"] = literal(hold.code), literal(hold.subcode)
    ad["NumHolds"] = literal(ad.number("NumHolds") + 1)
    if hold.code not in (USER_REQUEST, SUBMITTED_ON_HOLD):
        ad["NumSystemHolds"] = literal(ad.number("NumSystemHolds") + 1)


def no_longer_held(ad: Ad) -> None:
    """The reason moves to LastHold...; HTCondor leaves a literal undefined behind."""
    for name in ("HoldReason", "HoldReasonCode", "HoldReasonSubCode"):
        if name in ad and ad[name] != "undefined":
            ad["Last" + name] = ad[name]
            ad[name] = "undefined"


def _add_wall(ad: Ad, seconds: float) -> None:
    for name in ("RemoteWallClockTime", "CumulativeSlotTime"):
        ad[name] = literal(_real(ad, name) + round(seconds, 6))
    ad["LastRemoteWallClockTime"] = literal(round(seconds, 6))


def _real(ad: Ad, name: str) -> float:
    try:
        return float(ad[name])
    except (KeyError, ValueError):
        return 0.0
