"""condor_continue: let suspended jobs run on (carried out by the schedd; see thin.py)."""

import sys

from .thin import run


def main() -> int:
    """Run the command; returns its exit code."""
    return run("condor_continue")


if __name__ == "__main__":
    sys.exit(main())
