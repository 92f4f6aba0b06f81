"""condor_history: show the jobs that left the queue (carried out by the schedd; see thin.py)."""

import sys

from .thin import run


def main() -> int:
    """Run the command; returns its exit code."""
    return run("condor_history")


if __name__ == "__main__":
    sys.exit(main())
