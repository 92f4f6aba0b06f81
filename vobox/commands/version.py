"""What the commands answer to ``-version``: the same two lines as condor_version."""

from __future__ import annotations

from typing import Final

from vobox.client.version import VERSION_LINE, platform

CONDOR_VERSION: Final = VERSION_LINE
CONDOR_PLATFORM: Final = platform()
VERSION_TEXT: Final = f"{CONDOR_VERSION}\n{CONDOR_PLATFORM}\n"
