"""What the ledger takes on the disk with 100,000 typical AliEn agents."""

from .crowd import JOBS, crowd
from .result import Result

#: Bytes.
GOAL = 100e6


def ledger_disk() -> Result:
    """Measure the ledger's files, with the log that SQLite writes first."""
    value = sum(path.stat().st_size for path in crowd().spool.rglob("ledger.db*"))
    return Result(
        what=f"the ledger of {JOBS:,} job agents, {value / JOBS:.0f} bytes a job",
        value=value / 1e6,
        unit="MB",
        reference=f"{GOAL / 1e6:.0f} MB",
        ratio=value / GOAL,
        goal=f"<= {GOAL / 1e6:.0f} MB",
        met=value <= GOAL,
    )
