"""condor_vacate: end the runs of jobs on some machines (carried out by the schedd; see thin.py)."""

import sys

from .thin import run


def main() -> int:
    """Run the command; returns its exit code."""
    return run("condor_vacate")


if __name__ == "__main__":
    sys.exit(main())
