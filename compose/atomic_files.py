"""Atomic writing of files."""

from __future__ import annotations

import os
from pathlib import Path


def write_file(path: Path, content: bytes, mode: int) -> None:
    """Write the whole file or nothing; it is never readable by more users than ``mode`` allows.

    ``mode``: permission bits.
    """
    fresh = path.with_name(f".{path.name}")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    fresh.chmod(mode)
    fresh.replace(path)
