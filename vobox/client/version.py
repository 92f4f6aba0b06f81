"""condor_version: print the HTCondor release that the commands follow.

Needs no schedd: clients ask it to see whether HTCondor is installed at all.
"""

import os
import sys

from .client import keep_standard_streams, write

#: clients compare the number with features of HTCondor
NUMBER = "25.14.0"
USAGE = "Usage: condor_version [-arch]\n"
VERSION_LINE = "$CondorVersion: " + NUMBER + " 2026-11-22 BuildID: plancton PackageID: plancton $"


def format_platform() -> str:
    """Return the second line of the answer: the platform of this machine."""
    return "$CondorPlatform: %s-Linux $" % os.uname().machine.upper()


def main() -> int:
    """Print the version; return the exit code."""
    keep_standard_streams()
    arch = False
    for word in sys.argv[1:]:
        if word == "-arch":
            arch = True
        elif word in ("-help", "--help"):
            write(1, USAGE.encode("ascii"))
            return 0
        elif word not in ("", "-version", "--version"):
            text = "Unrecognized option: %s\n%s" % (word, USAGE)
            write(2, text.encode("utf-8", "backslashreplace"))
            return 1
    text = os.uname().machine.upper() if arch else VERSION_LINE + "\n" + format_platform()
    write(1, (text + "\n").encode("ascii"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
