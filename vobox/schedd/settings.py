"""What a schedd is told at its start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """``lease`` and ``policy_interval`` in seconds; ``history_dir``: see history_files.py."""

    name: str
    pool: str = "alien_jobs"
    lease: float = 300.0
    policy_interval: float = 60.0
    max_attempts: int = 5
    history_dir: Path | None = None
