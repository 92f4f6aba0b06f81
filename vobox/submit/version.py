"""Which HTCondor we speak like (attributes CondorVersion and SubmitVersion, ``if version``)."""

from __future__ import annotations

VERSION = (25, 14, 0)
CONDOR_VERSION = "$CondorVersion: 25.14.0 2026-11-22 BuildID: plancton PackageID: plancton $"
CONDOR_PLATFORM = "$CondorPlatform: X86_64-Linux $"
