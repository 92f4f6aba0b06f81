"""Break long lines at the width of a terminal."""

from __future__ import annotations

import shutil
import sys
import textwrap

#: Columns that are left of a line at least; a terminal with fewer folds by itself.
_LEAST = 20


def wrap_for_terminal(text: str, indent: int) -> str:
    """Return ``text`` broken between words, its further lines indented; whole in a pipe.

    Names and paths are never broken, so that they can be copied.
    """
    width = shutil.get_terminal_size().columns
    if not sys.stdout.isatty() or width - indent < _LEAST:
        return text
    return textwrap.fill(
        text, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )
