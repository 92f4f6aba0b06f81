"""condor_version: the release whose behaviour we follow, and who really answers.

Needs no schedd: clients ask it to see whether HTCondor is installed at all.
"""

import os
import sys

#: clients compare the number with features of HTCondor
NUMBER = "25.14.0"
VERSION_LINE = "$CondorVersion: " + NUMBER + " 2026-11-22 BuildID: plancton PackageID: plancton $"


def platform() -> str:
    """The second line, of the machine that it runs on."""
    return "$CondorPlatform: %s-Linux $" % os.uname().machine.upper()


def main() -> int:
    """Print the version; returns the exit code."""
    arch = False
    for word in sys.argv[1:]:
        if word == "-arch":
            arch = True
        elif word not in ("", "-version", "-help"):
            sys.stderr.write("Unrecognized option: %s\n" % word)
            sys.stderr.write("Usage: condor_version [-arch]\n")
            return 1
    try:
        if arch:
            print(os.uname().machine.upper())
        else:
            print(VERSION_LINE)
            print(platform())
        sys.stdout.flush()
    except BrokenPipeError:
        # nobody reads it; do not complain again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
