"""The HTCondor release that the commands follow: what ``-version`` and job ads say."""

from __future__ import annotations

from typing import Final

from vobox.client.version import VERSION_LINE, format_platform

CONDOR_VERSION: Final = VERSION_LINE
CONDOR_PLATFORM: Final = format_platform()
#: What the commands answer to ``-version``: the same two lines as condor_version.
VERSION_TEXT: Final = f"{CONDOR_VERSION}\n{CONDOR_PLATFORM}\n"
#: For ``if version`` in a submit description.
VERSION_NUMBERS: Final = tuple(int(part) for part in VERSION_LINE.split()[1].split("."))
