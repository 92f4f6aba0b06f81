"""condor_transfer_data: fetch the output of spooled jobs (by the schedd; see thin.py)."""

import sys

from .thin import run


def main() -> int:
    """Run the command; returns its exit code."""
    return run("condor_transfer_data")


if __name__ == "__main__":
    sys.exit(main())
