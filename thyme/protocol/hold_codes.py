"""HTCondor's HoldReasonCode numbers, as far as they are used here, and how its texts look."""

from __future__ import annotations

from enum import IntEnum


class HoldReasonCode(IntEnum):
    """Why a job is held; HTCondor's names (src/condor_includes/condor_holdcodes.h)."""

    USER_REQUEST = 1  #: condor_hold
    JOB_POLICY = 3  #: periodic_hold or on_exit_hold
    FAILED_TO_CREATE_PROCESS = 6
    UNABLE_TO_OPEN_OUTPUT = 7
    UNABLE_TO_OPEN_INPUT = 8
    TRANSFER_OUTPUT_ERROR = 12
    TRANSFER_INPUT_ERROR = 13
    IWD_ERROR = 14  #: the job's directory is missing
    SUBMITTED_ON_HOLD = 15  #: ``hold = true``; the one hold that leaves no line in the user log
    SPOOLING_INPUT = 16
    UNABLE_TO_INIT_USER_LOG = 22
    SYSTEM_POLICY = 26  #: a rule of the site, not of the job
    MAX_TRANSFER_INPUT_SIZE_EXCEEDED = 32
    MAX_TRANSFER_OUTPUT_SIZE_EXCEEDED = 33
    JOB_OUT_OF_RESOURCES = 34
    JOB_DURATION_EXCEEDED = 46  #: allowed_job_duration
    JOB_EXECUTE_EXCEEDED = 47  #: allowed_execute_duration


def format_duration(seconds: int) -> str:
    """Format seconds as HTCondor's hold reasons do: ``3+00:00:00``, ``2:05:00``, ``05:00``."""
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    text = f"{days}+{hours:02}:{minutes:02}:{seconds % 60:02}".lstrip("0+")
    return text[1:] if text.startswith(":") else text
