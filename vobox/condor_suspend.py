"""condor_suspend: stop running jobs where they are (carried out by the schedd; see thin.py)."""

import sys

from .thin import run


def main() -> int:
    """Run the command; returns its exit code."""
    return run("condor_suspend")


if __name__ == "__main__":
    sys.exit(main())
