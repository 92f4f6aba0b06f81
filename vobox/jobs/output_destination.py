r"""Where a job's output goes: output remaps, and jobs whose output waits in the spool.

Output of a job submitted with ``-spool`` waits for condor_transfer_data. It is
the body of the job's *finished* event, kept in the ledger for as long as the job
is in the queue, and made again from the stream like all of the ledger.
"""

from __future__ import annotations

import posixpath
import re
from typing import Final

from vobox.classad.ad import Ad

#: The kinds of body that hold a spooled job's output: of the run that completed the job, and of
#: one that ended held.
OUTPUT_KINDS: Final = ("result", "spooled")

_PIECE: Final = re.compile(r"\\([\\=;])|([=;])|([^\\=;]+|\\)")


def is_spooled(ad: Ad) -> bool:
    """Return whether the job was submitted with ``-spool``."""
    return "StageInFinish" in ad and "SUBMIT_Iwd" in ad


def is_output(ad: Ad, name: str) -> bool:
    """Return whether the job asked for this file of the sandbox; a worker may send others."""
    if ad.text("ShouldTransferFiles").upper() == "NO":
        return False
    if "TransferOutput" not in ad:
        return "/" not in name  # all new files at the top of the scratch directory
    if name == name_core_file(ad):
        return True
    for word in ad.text("TransferOutput").split(","):
        wanted = word.strip().strip('"')
        if wanted.endswith("/"):
            return True  # what is in that directory
        base = posixpath.basename(wanted)
        if base and (name == base or name.startswith(base + "/")):
            return True
    return False


def name_core_file(ad: Ad) -> str:
    """Return the name of the job's core file, which comes back whatever the job asked for."""
    return f"core.{ad.number('ClusterId')}.{ad.number('ProcId')}"


def parse_output_remaps(text: str) -> dict[str, str]:
    r"""Parse transfer_output_remaps, ``a=b;c=d``: name in the sandbox → where it goes.

    A backslash before ``=``, ``;`` or itself makes it part of a name, as in
    HTCondor's filename_remap.
    """
    found: dict[str, str] = {}
    sides = [""]
    for escaped, mark, plain in _PIECE.findall(text + ";"):
        if mark == ";":
            if len(sides) == 2 and sides[0].strip():
                found[sides[0].strip()] = sides[1].strip()
            sides = [""]
        elif mark and len(sides) == 1:
            sides.append("")
        else:
            sides[-1] += escaped or mark or plain
    return found
