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
    shown = []  # type: list[str]
    for word in sys.argv[1:]:
        letter = word[1:2] if word.startswith("-") else ""
        if letter == "h" or word == "--help":
            write(2, USAGE.encode("ascii"))
            return 0
        if letter in ("a", "o"):  # HTCondor looks at nothing else
            shown.append(ARCH if letter == "a" else OPSYS)
        elif word not in ("", "-version", "--version"):
            what = "unrecognized" if word.startswith("-") else "invalid"
            text = "ERROR: %s argument: '%s'\n%s" % (what, word, USAGE)
            write(2, text.encode("utf-8", "backslashreplace"))
            return 1
    lines = "".join(each + "\n" for each in sorted(set(shown), key=shown.index))
    write(1, (lines or VERSION_TEXT).encode("ascii"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
