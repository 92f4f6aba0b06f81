"""``-spool`` and ``-remote``: the job's output waits for condor_transfer_data.

HTCondor copies the input into the schedd's spool and holds the job (code 16)
until it is there. Here input travels in the job's message in any case, so
such a job is idle at once, and its ad says what HTCondor's says after the
copying.
"""

from __future__ import annotations

import posixpath

from thyme.protocol.hold_codes import HoldReasonCode
from vobox.classad.ad import Ad, literal, quote

from .base_attributes import Submission
from .job_commands import Commands

#: Seconds that a completed job waits for its output to be fetched; HTCondor's ten days.
KEPT = 10 * 86400

_LEAVE = (
    "JobStatus == 4 && (CompletionDate =?= undefined || CompletionDate == 0 || "
    f"((time() - CompletionDate) < {KEPT}))"
)


def record_spooling(commands: Commands, ad: Ad, submission: Submission) -> None:
    """Record what a spooled job's ad has in addition; nothing for another job.

    ``commands``: of the submit description; ``ad``: of the job, which is changed.
    """
    if not submission.spooled:
        return
    ad["StageInStart"] = ad["StageInFinish"] = literal(submission.now)
    ad["LastHoldReason"] = quote("Spooling input data files")
    ad["LastHoldReasonCode"], ad["LastHoldReasonSubCode"] = (
        literal(HoldReasonCode.SPOOLING_INPUT),
        literal(0),
    )
    ad["ReleaseReason"] = quote("Data files spooled")
    ad["SUBMIT_Iwd"] = ad["Iwd"]
    if ad.get("TransferExecutable", "true") != "false":
        ad["SUBMIT_Cmd"] = ad["Cmd"]
        ad["Cmd"] = quote(posixpath.basename(ad.text("Cmd")))
    if "TransferInput" in ad:
        ad["SUBMIT_TransferInput"] = ad["TransferInput"]
    if commands.get("leave_in_queue", "LeaveJobInQueue") is None:
        ad["LeaveJobInQueue"] = _LEAVE
