"""Set the attributes of a job's ad that HTCondor sets when something happens to the job.

Each function changes the ad that it is given; which event leads to which state
is in ``transitions.py``. Times are epoch seconds.
"""

from __future__ import annotations

import posixpath
import re
import signal
from typing import Final

from thyme.protocol.events import Evicted, Finished, HoldReason, Machine, Usage
from thyme.protocol.hold_codes import HoldReasonCode
from vobox.classad.ad import Ad, literal

from .output_destination import name_core_file
from .status import HELD, RUNNING, SUSPENDED

#: VacateReasonCode of a worker that is silent, of one that leaves, of condor_vacate_job, and of a
#: removal; the end of a run by a hold has the code of the hold.
WORKER_LOST, WORKER_LEFT, VACATED, JOB_REMOVED = 1008, 1013, 1022, 1023
#: HTCondor's names of the codes (condor_holdcodes.h), as its counters by reason use them.
_REASONS: Final = {
    1: "UserRequest", 3: "JobPolicy", 6: "FailedToCreateProcess", 7: "UnableToOpenOutput",
    8: "UnableToOpenInput", 12: "TransferOutputError", 13: "TransferInputError", 14: "IwdError",
    15: "SubmittedOnHold", 16: "SpoolingInput", 22: "UnableToInitUserLog", 26: "SystemPolicy",
    32: "MaxTransferInputSizeExceeded", 33: "MaxTransferOutputSizeExceeded",
    34: "JobOutOfResources", 43: "PreScriptFailed", 46: "JobDurationExceeded",
    47: "JobExecuteExceeded", 1008: "ReconnectFailed", 1013: "StartdShutdown",
    1022: "ScheddVacate", 1023: "JobRemoved",
}  # fmt: skip
_COUNT: Final = re.compile(r"(\w+) = (\d{1,9})")


def set_status(ad: Ad, status: int, before: int, now: float) -> None:
    """Set JobStatus and what goes with it; ``before``: the JobStatus that the job leaves.

    ``now``: epoch seconds.
    """
    if status != before:
        ad["LastJobStatus"] = literal(before)
    if before == SUSPENDED:
        stood = max(0, int(now) - ad.number("LastSuspensionTime", int(now)))
        for name in ("CumulativeSuspensionTime", "UncommittedSuspensionTime"):
            ad[name] = literal(ad.number(name) + stood)
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
        if "HoldReasonCode" in ad:
            _count_reason(ad, "NumHoldsByReason", ad.number("HoldReasonCode"))


def record_start(ad: Ad, host: str, now: float, machine: Machine | None = None) -> None:
    """Set what goes with the start of a run.

    ``host``: the slot, ``slot1_7@node``; ``machine``: what it offers, None if that is not known.
    """
    start = literal(int(now))
    if "JobStartDate" not in ad:
        ad["FirstJobMatchDate"] = start
        ad["InitialWaitDuration"] = literal(max(0, int(now) - ad.number("QDate", int(now))))
    ad["LastMatchTime"], ad["OrigMaxHosts"] = start, literal(1)
    ad["NumJobMatches"] = literal(ad.number("NumJobMatches") + 1)
    for name in ("Cpus", "Memory", "Disk"):
        if machine is None:
            ad.pop(f"{name}Provisioned", None)
        else:
            ad[f"{name}Provisioned"] = literal(getattr(machine, name.lower()))
    ad.setdefault("JobStartDate", start)
    if "JobCurrentStartDate" in ad:
        ad["JobLastStartDate"] = ad["JobCurrentStartDate"]
    ad["JobCurrentStartDate"] = ad["JobCurrentStartExecutingDate"] = start
    for counter in ("NumJobStarts", "JobRunCount", "NumShadowStarts"):
        ad[counter] = literal(ad.number(counter) + 1)
    ad["RemoteHost"] = literal(host)
    ad["CurrentHosts"] = literal(1)
    for name in (
        "TerminationPending", "UncommittedSuspensionTime",
        "VacateReason", "VacateReasonCode", "VacateReasonSubCode",
    ):  # fmt: skip
        ad.pop(name, None)


def record_end(ad: Ad, host: str, used: Usage) -> None:
    """Set what goes with the end of a run whose worker reported what it used.

    ``host``: where it ran; ``used``: CPU and memory.
    """
    clear_remote_host(ad, host)
    _add_wall(ad, used.wall)
    for name, seconds in (("User", used.user_cpu), ("Sys", used.system_cpu)):
        total = f"CumulativeRemote{name}Cpu"
        ad[total] = literal(_real(ad, total) + round(seconds, 6))
        ad[f"Remote{name}Cpu"] = literal(round(seconds, 6))
    ad.update(build_size_attributes(used))
    ad["BytesRecvd"] = literal(_real(ad, "BytesRecvd") + used.received)
    if used.wall > 0:
        ad["CpusUsage"] = literal(round((used.user_cpu + used.system_cpu) / used.wall, 6))


def build_size_attributes(used: Usage) -> dict[str, str]:
    """Return the attributes of memory and disk; none of 0 KiB, which nobody measured."""
    found: dict[str, str] = {}
    memory = max(used.peak_rss, used.rss)
    # the image is at least as large as its resident part; more is not measured
    sizes = {"ResidentSetSize": memory, "ImageSize": memory, "DiskUsage": used.disk}
    for name, size in sizes.items():
        if size:
            found[name], found[f"{name}_RAW"] = literal(round_up_size(size)), literal(size)
    if memory:
        found["MemoryUsage"] = "((ResidentSetSize + 1023) / 1024)"
    return found


def round_up_size(size: int) -> int:
    """Round a size as HTCondor does (SCHEDD_ROUND_ATTR_…=25%): 123 to 125, 7404 to 7500."""
    step = 10 ** (len(str(size)) - 1)
    return size if size <= 0 else -(-size * 4 // step) * step // 4


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
    for name in ("ExitReason", "JobCoreDumped", "JobCoreFileName"):
        ad.pop(name, None)
    if event.signal is not None:
        ad["ExitReason"] = literal(_describe_signal(event.signal))
        core = name_core_file(ad)
        if any(file.name == core for file in event.files):
            ad["JobCoreDumped"] = "true"
            ad["JobCoreFileName"] = literal(posixpath.join(ad.text("Iwd", "/"), core))
    ad["TerminationPending"] = "true"
    ad["BytesSent"] = literal(_real(ad, "BytesSent") + count_bytes_sent(event))
    if event.hold is None:
        ad["NumJobCompletions"] = literal(ad.number("NumJobCompletions") + 1)


def uncount_completion(ad: Ad) -> None:
    """Take back that a run completed: one whose output is lost is no retry of ``max_retries``."""
    ad["NumJobCompletions"] = literal(max(ad.number("NumJobCompletions") - 1, 0))


def count_bytes_sent(event: Finished) -> int:
    """Return the bytes of output that came with the end of a run."""
    return len(event.stdout) + len(event.stderr) + sum(len(file.data) for file in event.files)


def _describe_signal(number: int) -> str:
    return f"died on signal {number} ({signal.strsignal(number) or 'Unknown signal'})"


def record_completion(ad: Ad) -> None:
    """Count the run that completed the job; HTCondor's LastJobStatus of it is that of the run."""
    ad["LastJobStatus"] = literal(RUNNING)
    if "UncommittedSuspensionTime" in ad:
        stood = ad.number("CommittedSuspensionTime") + ad.number("UncommittedSuspensionTime")
        ad["CommittedSuspensionTime"] = literal(stood)
        del ad["UncommittedSuspensionTime"]
    seconds = max(int(_real(ad, "LastRemoteWallClockTime")), 0)
    ad["CommittedTime"] = literal(ad.number("CommittedTime") + seconds)
    ad["CommittedSlotTime"] = literal(_real(ad, "CommittedSlotTime") + seconds)


def record_forced_end(ad: Ad, event: Finished | Evicted) -> None:
    """Set how the program of a run that was ended before its time really ended, if it had begun."""
    ad.setdefault("BytesSent", literal(0.0))
    if event.exit_code is None and event.signal is None:
        return
    ad["ExitBySignal"] = literal(event.signal is not None)
    ad.pop("ExitCode", None)
    if event.signal is not None:
        ad["ExitSignal"] = literal(event.signal)
        ad["ExitReason"] = literal(_describe_signal(event.signal))
    else:
        ad["ExitCode"] = literal(event.exit_code or 0)


def record_vacate(ad: Ad, reason: str, code: int, subcode: int, now: float) -> None:
    """Set what goes with a run that was ended before its time; ``now``: epoch seconds.

    ``reason``, ``code`` and ``subcode``: VacateReason and its codes.
    """
    ad["VacateReason"] = literal(reason)
    ad["VacateReasonCode"], ad["VacateReasonSubCode"] = literal(code), literal(subcode)
    ad["LastVacateTime"] = literal(int(now))
    ad["NumVacates"] = literal(ad.number("NumVacates") + 1)
    _count_reason(ad, "NumVacatesByReason", code)


def name_reason(code: int) -> str:
    """Return HTCondor's name of a HoldReasonCode or VacateReasonCode, ``CodeN`` for others."""
    return _REASONS.get(code, f"Code{code}")


def _count_reason(ad: Ad, name: str, code: int) -> None:
    """Count one more in a record of counters by reason, ``[ UserRequest = 1 ]``."""
    label = name_reason(code)
    counts = {word: int(number) for word, number in _COUNT.findall(ad.get(name, ""))}
    counts[label] = counts.get(label, 0) + 1
    ad[name] = "[ " + "; ".join(f"{word} = {counts[word]}" for word in sorted(counts)) + " ]"


def record_hold(ad: Ad, hold: HoldReason) -> None:
    """Set the hold reason and count the hold."""
    ad.pop("TerminationPending", None)
    ad["HoldReason"] = literal(hold.text)
    ad["HoldReasonCode"], ad["HoldReasonSubCode"] = literal(hold.code), literal(hold.subcode)
    ad["NumHolds"] = literal(ad.number("NumHolds") + 1)
    _count_reason(ad, "NumHoldsByReason", hold.code)
    # as HTCondor's schedd: its own holds, none of the user, of a job's policy, or of a worker
    if hold.code == HoldReasonCode.SYSTEM_POLICY:
        ad["NumSystemHolds"] = literal(ad.number("NumSystemHolds") + 1)


def clear_hold(ad: Ad) -> None:
    """Move HoldReason, its code and subcode to LastHoldReason...; a released job has none."""
    for name in ("HoldReason", "HoldReasonCode", "HoldReasonSubCode"):
        if name in ad:
            ad["Last" + name] = ad.pop(name)


def _add_wall(ad: Ad, seconds: float) -> None:
    for name in ("RemoteWallClockTime", "CumulativeSlotTime"):
        ad[name] = literal(_real(ad, name) + round(seconds, 6))
    ad["LastRemoteWallClockTime"] = literal(round(seconds, 6))


def _real(ad: Ad, name: str) -> float:
    try:
        return float(ad[name])
    except (KeyError, ValueError):
        return 0.0
