"""How a query ends early: with texts for both streams and an exit code.

Clients read 1 as "cannot tell" and 0 with no output as "no such job", so a
request that is not understood never ends with 0.
"""

from __future__ import annotations


class Ended(Exception):
    """The answer is known before any job was looked at: an error, ``-help`` or ``-version``."""

    def __init__(self, stderr: str = "", stdout: str = "", code: int = 1) -> None:
        super().__init__(stderr or stdout)
        self.stderr = stderr
        self.stdout = stdout
        self.code = code


def refused(text: str) -> Ended:
    """One line on stderr and exit code 1."""
    return Ended(stderr=f"Error: {text}\n")
