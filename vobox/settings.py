"""What a schedd is told at its start."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """``lease`` and ``policy_interval`` in seconds."""

    name: str
    pool: str = "alien_jobs"
    lease: float = 300.0
    policy_interval: float = 60.0
    max_attempts: int = 5
