"""condor_qedit: change attributes of jobs (carried out by the schedd; see thin.py)."""

import sys

from .thin import run


def main() -> int:
    """Run the command; returns its exit code."""
    return run("condor_qedit")


if __name__ == "__main__":
    sys.exit(main())
