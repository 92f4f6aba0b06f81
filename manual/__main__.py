"""Write the manual pages and completion scripts: ``python -m manual DIRECTORY``."""

from __future__ import annotations

import sys
from pathlib import Path

from .programs import list_completions, list_pages

#: Where a wheel installs them, below its prefix.
PAGES, COMPLETIONS = "share/man/man1", "share/bash-completion/completions"


def write(directory: Path) -> None:
    """Write all files below ``directory`` as they are installed below a prefix."""
    for place, files in ((PAGES, list_pages()), (COMPLETIONS, list_completions())):
        (directory / place).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (directory / place / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m manual DIRECTORY")
    write(Path(sys.argv[1]))
