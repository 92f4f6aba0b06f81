"""condor_vacate_job: end the runs of some jobs (carried out by the schedd; see thin.py)."""

import sys

from .thin import run


def main() -> int:
    """Run the command; returns its exit code."""
    return run("condor_vacate_job")


if __name__ == "__main__":
    sys.exit(main())
