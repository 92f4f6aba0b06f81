"""HTCondor's JobStatus numbers."""

from __future__ import annotations

from typing import Final

IDLE: Final = 1
RUNNING: Final = 2
REMOVED: Final = 3
COMPLETED: Final = 4
HELD: Final = 5
TRANSFERRING_OUTPUT: Final = 6
SUSPENDED: Final = 7
