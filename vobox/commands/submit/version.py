"""Which HTCondor we speak like (attributes CondorVersion and SubmitVersion, ``if version``)."""

from __future__ import annotations

from vobox.client.version import VERSION_LINE, platform

CONDOR_VERSION = VERSION_LINE
CONDOR_PLATFORM = platform()
VERSION = tuple(int(part) for part in VERSION_LINE.split()[1].split("."))
