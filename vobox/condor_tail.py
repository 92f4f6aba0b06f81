"""condor_tail: show what a running job has written (carried out by the schedd; see thin.py)."""

import sys

from .thin import run


def main() -> int:
    """Run the command; returns its exit code."""
    return run("condor_tail")


if __name__ == "__main__":
    sys.exit(main())
