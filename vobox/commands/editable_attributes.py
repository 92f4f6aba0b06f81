"""Which attributes condor_qedit may change, and why not the others.

A job is queued with everything that its worker needs in one message. What is
in that message cannot be changed by changing the ad: it would be shown and not
be so. What the schedd itself evaluates or only shows can.
"""

from __future__ import annotations

from vobox.classad.ad import ParseError, unquote

#: HTCondor's SYSTEM_IMMUTABLE_JOB_ATTRS and what names the job here.
IMMUTABLE = "ClusterId GlobalJobId MyType Owner ProcId QDate TargetType User "
#: What the schedd keeps itself: the state, and what happened.
KEPT = (
    "BytesRecvd BytesSent CommittedSlotTime CommittedTime CompletionDate CpusProvisioned CpusUsage "
    "DiskProvisioned ExitReason FirstJobMatchDate InitialWaitDuration LastMatchTime LastVacateTime "
    "MemoryProvisioned NumHoldsByReason NumJobMatches NumVacates NumVacatesByReason "
    "OrigMaxHosts VacateReason VacateReasonCode VacateReasonSubCode CumulativeRemoteSysCpu "
    "CumulativeRemoteUserCpu CumulativeSlotTime CumulativeSuspensionTime CurrentHosts "
    "EnteredCurrentStatus ExitBySignal ExitCode ExitSignal ExitStatus HoldReason "
    "HoldReasonCode HoldReasonSubCode JobCurrentStartDate JobCurrentStartExecutingDate "
    "JobLastStartDate JobRunCount JobStartDate JobStatus LastHoldReason LastHoldReasonCode "
    "LastHoldReasonSubCode LastJobStatus LastRemoteHost LastRemoteWallClockTime "
    "LastSuspensionTime NumHolds NumJobCompletions NumJobStarts NumRestarts NumShadowStarts "
    "NumSystemHolds ReleaseReason RemoteHost RemoteSysCpu RemoteUserCpu RemoteWallClockTime "
    "RemoveReason ServerTime TerminationPending TotalSubmitProcs TotalSuspensions "
)
#: What went to the worker with the job.
SENT = (
    "AllowedExecuteDuration AllowedJobDuration Args Arguments Cmd Env EnvDelim Environment "
    "GridResource In Iwd JobLeaseDuration JobMaxVacateTime JobUniverse KillSig "
    "PreserveRelativePaths RemoveKillSig ShouldTransferFiles StageInFinish StageInStart "
    "StreamErr StreamOut TransferErr TransferExecutable TransferIn TransferInput TransferOut "
    "TransferOutput WhenToTransferOutput x509userproxy "
)

_WHY = {
    **{name.lower(): ("immutable", "it is what the job is known by") for name in IMMUTABLE.split()},
    **{name.lower(): ("protected", "the schedd keeps it itself") for name in KEPT.split()},
    **{
        name.lower(): (
            "immutable",
            "it travels with the job to its worker; remove the job and submit it again",
        )
        for name in SENT.split()
    },
}

#: Names of files, which the schedd takes from the ad as they stand there.
_TEXTS = frozenset(["err", "out", "transferoutputremaps", "userlog"])


def find_value_error(attribute: str, text: str) -> str:
    """Return why an attribute that names a file cannot have this value; "" if it can."""
    if attribute.lower() not in _TEXTS:
        return ""
    try:
        value = unquote(text)
    except (ValueError, ParseError):
        return "a string in double quotes is needed, as in '\"text\"'"
    if attribute.lower() == "userlog" and not value.startswith("/"):
        return "a path that begins with / is needed"
    return ""


def find_refusal(attribute: str) -> tuple[str, str] | None:
    """Return HTCondor's word for such an attribute and our reason; None if it may be changed."""
    return _WHY.get(attribute.lower())
