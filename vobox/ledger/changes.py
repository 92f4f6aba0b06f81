"""What was changed in an ad since its text was written.

An action on thousands of jobs mostly changes all their ads alike. The changes are then stored once
(table ``changes``), and each row of these jobs names them beside its text (``stored_ad.py``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Changes:
    """Attributes that were deleted, and attributes that were set after that.

    Both by lower-case name; of an attribute that was set the name as written, which counts where
    the ad does not have the attribute yet, and the expression.
    """

    deleted: frozenset[str]
    written: Mapping[str, tuple[str, str]]

    def then(self, later: Changes) -> Changes:
        """Return these changes and the later ones as one."""
        kept = {low: item for low, item in self.written.items() if low not in later.deleted}
        for low, (name, text) in later.written.items():
            kept[low] = (kept[low][0] if low in kept else name, text)
        return Changes(self.deleted | later.deleted, kept)

    @staticmethod
    def of(attributes: Mapping[str, str]) -> Changes:
        """Return the changes that set these attributes, one after the other."""
        made = UNCHANGED
        for name, text in attributes.items():
            made = made.then(Changes(frozenset(), {name.lower(): (name, text)}))
        return made

    def encode(self) -> bytes:
        """Return the text that ``decode_changes`` reads: JSON in ASCII."""
        written = [[low, *item] for low, item in self.written.items()]
        return json.dumps([sorted(self.deleted), written], separators=(",", ":")).encode("ascii")


#: Of an ad that is as its text.
UNCHANGED: Final = Changes(frozenset(), {})


def decode_changes(text: bytes) -> Changes:
    """Return the changes that ``Changes.encode`` wrote; raises ValueError or TypeError."""
    deleted, written = json.loads(text)
    return Changes(frozenset(deleted), {low: (name, value) for low, name, value in written})
