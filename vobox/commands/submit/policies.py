"""The commands with policy expressions: periodic_*, on_exit_*, retries, leave_in_queue, lease."""

from __future__ import annotations

import re

from vobox.classad.ad import Ad, ParseError, parse_old

from .errors import SubmitError, job_error
from .expressions import canonicalize, evaluate_int, evaluate_integer
from .job_commands import Commands

#: HTCondor's DEFAULT_JOB_MAX_RETRIES and JOB_DEFAULT_LEASE_DURATION (s), and its shortest lease.
DEFAULT_RETRIES = 2
DEFAULT_LEASE = 2400
SHORTEST_LEASE = 20
_NUMBER = re.compile(r"\d{1,18}(?:\.\d*)?(?:[eE][-+]?\d{1,2})?\Z")

_EXPRESSIONS = (
    ("periodic_hold", "PeriodicHold"),
    ("periodic_hold_reason", "PeriodicHoldReason"),
    ("periodic_hold_subcode", "PeriodicHoldSubCode"),
    ("periodic_release", "PeriodicRelease"),
    ("periodic_remove", "PeriodicRemove"),
    ("periodic_vacate", "PeriodicVacate"),
    ("on_exit_hold_reason", "OnExitHoldReason"),
    ("on_exit_hold_subcode", "OnExitHoldSubCode"),
)


def record_policies(commands: Commands, ad: Ad, vanilla: bool) -> list[str]:
    """Record the policies; return warnings. Raises SubmitError.

    ``commands``: of the submit description; ``ad``: of the job, which is changed; ``vanilla``:
    whether it is of the vanilla universe.
    """
    for command, attribute in _EXPRESSIONS:
        if text := commands.get(command, attribute):
            ad[attribute] = canonicalize(attribute, text)
    leave = commands.get("leave_in_queue", "LeaveJobInQueue")
    ad["LeaveJobInQueue"] = canonicalize("LeaveJobInQueue", leave) if leave else "false"
    _record_exit(commands, ad)
    return _record_lease(commands, ad, vanilla)


def _record_exit(commands: Commands, ad: Ad) -> None:
    hold, remove = (
        commands.get("on_exit_hold", "OnExitHold"),
        commands.get("on_exit_remove", "OnExitRemove"),
    )
    retries = commands.get("max_retries", "JobMaxRetries")
    until = commands.get("retry_until")
    success = commands.get("success_exit_code", "JobSuccessExitCode")
    retrying = not (retries is None and until is None and success is None)
    if hold or retrying:
        ad["OnExitHold"] = canonicalize("OnExitHold", hold) if hold else "false"
    if not retrying:
        if remove:
            ad["OnExitRemove"] = canonicalize("OnExitRemove", remove)
        return
    count = DEFAULT_RETRIES if retries is None else evaluate_integer("max_retries", retries)
    ad["JobMaxRetries"] = str(count)
    terms = ["NumJobCompletions > JobMaxRetries", "ExitCode =?= 0"]
    if success is not None:
        ad["JobSuccessExitCode"] = str(evaluate_int("success_exit_code", success))
        terms[1] = "ExitCode =?= JobSuccessExitCode"
    if until is not None:
        terms.append(_build_retry_until(until))
    if remove is not None:
        terms.append(canonicalize("OnExitRemove", remove))
    ad["OnExitRemove"] = canonicalize("OnExitRemove", " || ".join(terms))


def _build_retry_until(text: str) -> str:
    problem = f"retry_until={text} is invalid, it must be an integer or boolean expression."
    try:
        parse_old(text)
    except ParseError:
        raise job_error(problem) from None
    try:
        code = evaluate_integer("retry_until", text)
    except SubmitError:
        return text
    if not -(2**31) <= code < 2**31:
        raise job_error(problem)
    return f"ExitCode =?= {code}"


def _record_lease(commands: Commands, ad: Ad, vanilla: bool) -> list[str]:
    text = commands.get("job_lease_duration", "JobLeaseDuration")
    if text is None:
        if vanilla:
            ad["JobLeaseDuration"] = str(DEFAULT_LEASE)
        return []
    ad["JobLeaseDuration"] = canonicalize("JobLeaseDuration", text)
    number = _NUMBER.match(ad["JobLeaseDuration"])
    if number is None or not 0 < int(float(number[0])) < SHORTEST_LEASE:
        return []
    ad["JobLeaseDuration"] = str(SHORTEST_LEASE)
    return [
        f"WARNING: JobLeaseDuration less than {SHORTEST_LEASE} seconds is not allowed, "
        f"using {SHORTEST_LEASE} instead\n"
    ]
