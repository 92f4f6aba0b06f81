r"""transfer_output_remaps: where output files go on the submit host.

``a=b;c=d``; a backslash before ``=``, ``;`` or itself makes it part of a name,
as HTCondor's filename_remap does.
"""

from __future__ import annotations

import re

_PIECE = re.compile(r"\\([\\=;])|([=;])|([^\\=;]+|\\)")


def remaps(text: str) -> dict[str, str]:
    """Name in the sandbox → where it goes."""
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
