"""What the commands answer to ``-version``.

Clients compare the number with features of HTCondor (law, ARC), so it names
the release whose behaviour we follow; the build says who really answers.
"""

from __future__ import annotations

from typing import Final

CONDOR_VERSION: Final = "$CondorVersion: 25.14.0 2026-11-22 BuildID: plancton PackageID: plancton $"
CONDOR_PLATFORM: Final = "$CondorPlatform: X86_64-Linux $"
VERSION_TEXT: Final = f"{CONDOR_VERSION}\n{CONDOR_PLATFORM}\n"
