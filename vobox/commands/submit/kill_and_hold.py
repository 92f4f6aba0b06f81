"""How a job is asked to end, how long it may run, and whether it is submitted on hold."""

from __future__ import annotations

import re
import signal
from typing import TypedDict

from thyme.protocol.events import HoldReason
from thyme.protocol.hold_codes import HoldReasonCode
from vobox.classad.ad import Ad, quote
from vobox.jobs.status import HELD

from .errors import job_error, type_error
from .expressions import evaluate_boolean, find_constant_integer
from .job_commands import Commands
from .payload import mark_held
from .policies import SHORTEST_LEASE

#: The signals that HTCondor knows; none by another name, like SIGCLD.
_SIGNALS = {
    each.name: each.value
    for each in signal.Signals
    if each.name not in ("SIGPWR", "SIGSTKFLT", "SIGVTALRM", "SIGRTMIN", "SIGRTMAX")
}
#: Of at most 18 digits, which fit into 64 bits.
_LEADING_INTEGER = re.compile(r"\s*[+-]?0*[0-9]{1,18}(?![0-9])")


class RunLimits(TypedDict, total=False):
    """Fields of the task."""

    kill_signal: int
    kill_grace: float
    lease: float
    allowed_job_duration: float
    allowed_execute_duration: float


def record_kill_signal(commands: Commands, ad: Ad, grid: bool) -> None:
    """Record the kill signal and its timeout; raises SubmitError.

    ``commands``: of the submit description; ``ad``: of the job, which is changed; ``grid``: whether
    it is of the grid universe.
    """
    text = commands.get("kill_sig", "KillSig")
    if text is not None:
        ad["KillSig"] = quote(_parse_signal_name(text))
    elif grid:
        ad["KillSig"] = '"SIGTERM"'
    for command, attribute in (
        ("remove_kill_sig", "RemoveKillSig"),
        ("hold_kill_sig", "HoldKillSig"),
    ):
        if text := commands.get(command, attribute):
            ad[attribute] = quote(_parse_signal_name(text))
    if timeout := commands.get("kill_sig_timeout", "KillSigTimeout"):
        seconds = _read_leading_integer(timeout)
        if seconds is None:
            raise type_error("an integer", "kill_sig_timeout", timeout)
        ad["KillSigTimeout"] = str(seconds)


def _parse_signal_name(text: str) -> str:
    for name, number in _SIGNALS.items():
        if text.upper() == name or _read_leading_integer(text) == number:
            return name
    raise job_error(f"invalid signal {text}")


def _read_leading_integer(text: str) -> int | None:
    """Return the integer that a text begins with, as C's atoi; None if there is none.

    ``10 s`` is 10 to HTCondor here, and ``1+2`` is 1.
    """
    found = _LEADING_INTEGER.match(text)
    return int(found[0]) if found else None


def record_hold_command(commands: Commands, ad: Ad, spooled: bool) -> bool:
    """Record ``hold = true``; return whether the job is submitted on hold.

    :param commands: of the submit description
    :param ad: of the job, which is changed
    :param spooled: whether it is submitted with -spool: HTCondor holds such a job itself
    :raises SubmitError: it is to be held all the same, or the value is no boolean
    """
    text = commands.get("hold")
    if text is None or not evaluate_boolean("hold", text):
        return False
    if spooled:
        raise job_error("Cannot set hold to 'true' when using -remote or -spool")
    mark_held(
        ad,
        HoldReason(
            HoldReasonCode.SUBMITTED_ON_HOLD,
            0,
            "submitted on hold at user's request",
        ),
    )
    del ad["HoldReasonSubCode"]  # HTCondor gives none here
    ad["InitialJobStatus"] = str(HELD)
    return True


def read_run_limits(commands: Commands, ad: Ad) -> RunLimits:
    """Return the task's kill signal, lease and time limits. Raises SubmitError.

    Read from the ad, where ``+KillSig`` may have had the last word.
    """
    found: RunLimits = {"kill_signal": _read_signal_number(ad)}
    if "KillSigTimeout" in ad:
        found["kill_grace"] = float(max(ad.number("KillSigTimeout"), 0))
    # The ad says 2400 s where the description says nothing, as HTCondor's
    # does; the task then says 0, which is the schedd's own, shorter lease.
    lease = find_constant_integer(ad.get("JobLeaseDuration", "0"))
    if (
        lease
        and lease > 0
        and commands.get("job_lease_duration", "JobLeaseDuration", "MY.JobLeaseDuration")
    ):
        found["lease"] = float(max(lease, SHORTEST_LEASE))
    found["allowed_job_duration"] = _read_limit(ad, "AllowedJobDuration")
    found["allowed_execute_duration"] = _read_limit(ad, "AllowedExecuteDuration")
    return found


def _read_limit(ad: Ad, attribute: str) -> float:
    """Return seconds; 0 for no limit. As HTCondor, ignore what is not an integer."""
    value = find_constant_integer(ad.get(attribute, "0"))
    # less than a second would be no limit in the task
    return 0.0 if value is None or attribute not in ad else float(max(value, 1))


def _read_signal_number(ad: Ad) -> int:
    # as HTCondor: where remove_kill_sig is set, it also ends a job that is held or vacated
    name = ad.text("RemoveKillSig") or ad.text("KillSig", "SIGTERM")
    try:
        return signal.Signals[name].value
    except KeyError:
        raise job_error(f"invalid signal {name}") from None
