"""What happens to the job by expression: periodic_*, on_exit_*, retries, leave_in_queue, lease."""

from __future__ import annotations

from vobox.classad.ad import Ad, ParseError, parse

from .errors import Refusal, bad_job
from .expressions import canonical, integer, integer_value
from .job_commands import Commands

#: HTCondor's DEFAULT_JOB_MAX_RETRIES and JOB_DEFAULT_LEASE_DURATION (s), and its shortest lease.
DEFAULT_RETRIES = 2
DEFAULT_LEASE = 2400
SHORTEST_LEASE = 20

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
    """Put the policies into the ad; returns warnings. Raises Refusal."""
    for command, attribute in _EXPRESSIONS:
        if text := commands.get(command, attribute):
            ad[attribute] = canonical(attribute, text)
    leave = commands.get("leave_in_queue", "LeaveJobInQueue")
    ad["LeaveJobInQueue"] = canonical("LeaveJobInQueue", leave) if leave else "false"
    _record_exit(commands, ad)
    return _record_lease(commands, ad, vanilla)


def _record_exit(commands: Commands, ad: Ad) -> None:
    hold, remove = (
        commands.get("on_exit_hold", "OnExitHold"),
        commands.get("on_exit_remove", "OnExitRemove"),
    )
    retries = commands.get("max_retries")
    until = commands.get("retry_until")
    success = commands.get("success_exit_code", "success_code")
    retrying = not (retries is None and until is None and success is None)
    if hold or retrying:
        ad["OnExitHold"] = canonical("OnExitHold", hold) if hold else "false"
    if not retrying:
        if remove:
            ad["OnExitRemove"] = canonical("OnExitRemove", remove)
        return
    count = DEFAULT_RETRIES if retries is None else integer("max_retries", retries)
    ad["JobMaxRetries"] = str(count)
    terms = ["NumJobCompletions > JobMaxRetries", "ExitCode =?= 0"]
    if success is not None:
        ad["JobSuccessExitCode"] = str(integer("success_exit_code", success))
        terms[1] = "ExitCode =?= JobSuccessExitCode"
    if until is not None:
        terms.append(_until(until))
    if remove is not None:
        terms.append(canonical("OnExitRemove", remove))
    ad["OnExitRemove"] = canonical("OnExitRemove", " || ".join(terms))


def _until(text: str) -> str:
    try:
        parse(text)
    except ParseError:
        problem = f"retry_until={text} is invalid, it must be an integer or boolean expression."
        raise bad_job(problem) from None
    try:
        return f"ExitCode =?= {integer('retry_until', text)}"
    except Refusal:
        return text


def _record_lease(commands: Commands, ad: Ad, vanilla: bool) -> list[str]:
    text = commands.get("job_lease_duration", "JobLeaseDuration")
    if text is None:
        if vanilla:
            ad["JobLeaseDuration"] = str(DEFAULT_LEASE)
        return []
    ad["JobLeaseDuration"] = canonical("JobLeaseDuration", text)
    number = integer_value(ad["JobLeaseDuration"])
    if number is None or number >= SHORTEST_LEASE or number == 0:
        return []
    ad["JobLeaseDuration"] = str(SHORTEST_LEASE)
    return [
        f"WARNING: JobLeaseDuration less than {SHORTEST_LEASE} seconds is not allowed, "
        f"using {SHORTEST_LEASE} instead\n"
    ]
