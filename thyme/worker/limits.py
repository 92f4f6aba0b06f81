"""Why a job is ended, or was, for what it used: pure decisions, with HTCondor's codes and texts.

HTCondor's ``user_job_policy.cpp`` has the texts of the durations, its starter
that of the memory limit.
"""

from __future__ import annotations

from collections.abc import Mapping

from thyme.protocol.events import HoldReason
from thyme.protocol.hold_codes import HoldReasonCode, format_duration
from thyme.protocol.job import Task

from .executor import ExecutionResult
from .memory_cgroup import CgroupMemory

#: HoldReasonSubCode of JOB_OUT_OF_RESOURCES: of memory, of disk.
MEMORY, DISK = 102, 104
#: KiB that a job has requested that says nothing; HTCondor's JOB_DEFAULT_REQUESTDISK.
DEFAULT_REQUEST_DISK = 1024 * 1024
#: A disk is nearly full with less than this part of it free, or less than so many KiB of a large
#: one: a job can write that many between two looks.
NEARLY_FULL, NEARLY_FULL_KIB = 0.05, 10 * 1024 * 1024

_KILLED = 9
NODE_WITHOUT_MEMORY = "killed by the kernel: the node was out of memory"


def find_exceeded_limit(task: Task, since_attempt: float, since_start: float) -> HoldReason | None:
    """Return the reason to hold a job that has run too long, or None.

    ``since_attempt``, ``since_start``: seconds since its attempt and its program began.
    """
    for code, kind, allowed, passed in (
        (HoldReasonCode.JOB_DURATION_EXCEEDED, "job", task.allowed_job_duration, since_attempt),
        (
            HoldReasonCode.JOB_EXECUTE_EXCEEDED,
            "execute",
            task.allowed_execute_duration,
            since_start,
        ),
    ):
        if 0 < allowed <= passed:
            duration = format_duration(int(allowed))
            return HoldReason(code, 0, f"The job exceeded allowed {kind} duration of {duration}")
    return None


def seconds_until_limit(task: Task, since_attempt: float, since_start: float) -> float:
    """Return the seconds until a limit is exceeded; infinity where there is none.

    ``since_attempt`` and ``since_start``: seconds since the attempt and its program began.
    """
    left = [
        allowed - passed
        for allowed, passed in (
            (task.allowed_job_duration, since_attempt),
            (task.allowed_execute_duration, since_start),
        )
        if allowed > 0
    ]
    return max(min(left, default=float("inf")), 0.0)


def get_requested_disk(ad: Mapping[str, str]) -> int:
    """Return the KiB of disk that a job's ad requests; the default where it is no plain number."""
    asked = ad.get("RequestDisk", "")
    is_number = asked.isascii() and asked.isdigit() and len(asked) < 16
    return int(asked) if is_number else DEFAULT_REQUEST_DISK


def find_exceeded_disk(requested: int, used: int, free: int, total: int) -> HoldReason | None:
    """Return the reason to hold a job that fills the disk which it shares with others, or None.

    It may use more than it requested as long as there is enough for all. All in KiB.

    :param requested: by the job
    :param used: by its scratch directory, at least
    :param free: what is left for users of the file system that the directory is in
    :param total: the size of that file system
    """
    if used <= requested or free >= min(total * NEARLY_FULL, NEARLY_FULL_KIB):
        return None
    return HoldReason(
        HoldReasonCode.JOB_OUT_OF_RESOURCES,
        DISK,
        f"Job has exceeded allocated disk ({_format_bytes(requested * 1024)}). "
        "Consider increasing the value of request_disk.",
    )


def explain_memory_kill(
    before: CgroupMemory | None, after: CgroupMemory | None, outcome: ExecutionResult, slot: str
) -> HoldReason | str:
    """Return why a job was ended that the kernel may have killed for its memory; "" if it was not.

    ``before``, ``after``: the pilot's control group before and after the job. A HoldReason where
    the job exceeded the pilot's own limit; a text, to requeue it, where the node had no memory
    left. A job that survived the loss of one of its processes ended by itself.
    """
    if before is None or after is None or after.kills <= before.kills:
        return ""
    if outcome.signal != _KILLED and outcome.exit_code != 128 + _KILLED:
        return ""
    if after.hits <= before.hits:
        return NODE_WITHOUT_MEMORY
    limit = "an unknown number of" if after.limit is None else str(after.limit // 1024)
    return HoldReason(
        HoldReasonCode.JOB_OUT_OF_RESOURCES,
        MEMORY,
        f"Error from {slot}: Job has gone over cgroup memory limit of {limit} megabytes. "
        f"Last measured usage: {outcome.usage.peak_rss // 1024} megabytes.  "
        "Consider resubmitting with a higher request_memory.",
    )


def _format_bytes(number: float) -> str:
    """Return a number of bytes as HTCondor's to_string_byte_units prints it."""
    if number < 1024:
        return f"{number:g} B"
    power = next((n for n in (1, 2, 3) if number < 1024 ** (n + 1)), 4)
    return f"{number / 1024**power:.2f} {'KMGT'[power - 1]}B"
