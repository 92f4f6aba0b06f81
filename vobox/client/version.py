"""condor_version: print the HTCondor release that the commands follow.

Needs no schedd: clients ask it to see whether HTCondor is installed at all.
"""

import os
import sys

from .client import keep_standard_streams, write

#: clients compare the number with features of HTCondor
NUMBER = "25.14.0"
USAGE = """\
Usage: condor_version [options]
   If no options are specified, print the version and platform strings
   where the tool was built.  Valid options are:
   -help\t(this message)
   -arch\t(print the ARCH string)
   -opsys\t(print the OPSYS string)
"""
#: HTCondor's names: its own of the kernel's for these two alone
ARCH = {"x86_64": "X86_64", "i686": "INTEL"}.get(os.uname().machine, os.uname().machine)
OPSYS = os.uname().sysname
CONDOR_VERSION = "$CondorVersion: " + NUMBER + " 2026-11-22 BuildID: plancton PackageID: plancton $"
CONDOR_PLATFORM = "$CondorPlatform: %s-%s $" % (ARCH, OPSYS)
#: what each of the commands answers to ``-version``
VERSION_TEXT = CONDOR_VERSION + "\n" + CONDOR_PLATFORM + "\n"


def main() -> int:
    """Print the version; return the exit code."""
    keep_standard_streams()
    text = VERSION_TEXT
    for word in sys.argv[1:]:
        if word in ("-arch", "-opsys"):
            text = (ARCH if word == "-arch" else OPSYS) + "\n"
        elif word in ("-help", "--help"):
            write(1, USAGE.encode("ascii"))
            return 0
        elif word not in ("", "-version", "--version"):
            text = "ERROR: unrecognized argument: '%s'\n%s" % (word, USAGE)
            write(2, text.encode("utf-8", "backslashreplace"))
            return 1
    write(1, text.encode("ascii"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
