"""What a user is told while the broker or the disk fails."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from thyme.errors import BrokerError


def described(error: Exception, spool: Path) -> str:
    """One line on what is wrong, where, and what to do if waiting does not help."""
    if isinstance(error, BrokerError):
        return str(error)
    text = f"spool {spool}: {error}"
    if type(error) is sqlite3.DatabaseError:  # the content, not the disk
        text += "; restart thyme-schedd, it then makes the ledger again"
    return text
