"""Jobs submitted with ``-spool``: their output waits here for condor_transfer_data.

It is the body of the job's *finished* event, kept in the ledger for as long as
the job is in the queue, and made again from the stream like all the ledger.

It is lost only if the stream has already deleted the event (after 7 days) and the schedd's disk
is lost too.
"""

from __future__ import annotations

from vobox.classad.ad import Ad

#: The kinds of body that hold it: of the run that completed the job; of one that ended held.
OUTPUT_KINDS = ("result", "spooled")


def is_spooled(ad: Ad) -> bool:
    return "StageInFinish" in ad and "SUBMIT_Iwd" in ad
