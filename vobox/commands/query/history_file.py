"""A history file: job ads as lines ``Attr = value``, each closed by a banner ``*** ...``.

Lines without a banner after them are not a job of the file (contract,
section 4.2): the per-job files that ARC reads itself have none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from vobox.classad.ad import Ad

_LINE = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*\S)\s*\Z")


def read_history(text: str) -> Iterator[Ad]:
    """The file's jobs, newest (the last one) first; lines that are no attribute are skipped."""
    ads = []
    ad = Ad()
    for line in text.splitlines():
        if line.startswith("***"):
            if ad:
                ads.append(ad)
            ad = Ad()
            continue
        match = _LINE.match(line)
        if match is not None:
            ad[match[1]] = _modern(match[2])
    return reversed(ads)


def _modern(text: str) -> str:
    """An old ClassAd's string as a modern literal: there only ``\\"`` was an escape."""
    if "\\" not in text or not (text.startswith('"') and text.endswith('"') and len(text) > 1):
        return text
    value = text[1:-1].replace('\\"', '"')
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
