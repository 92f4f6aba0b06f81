"""``planctonctl report``: write the node's last day as one HTML page."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from plancton.calendar.syntax import find_zone
from plancton.day_report import page, ring
from plancton.errors import ExitCode, PlanctonError
from plancton.node.sensors import ProcSensors
from plancton.paths import Paths


def report(paths: Paths, arguments: argparse.Namespace) -> int:
    """Write the page; the daemon need not run."""
    facts, now = ProcSensors().read_facts(), time.time()
    try:
        rows = ring.read_rows(paths.day, now)
    except FileNotFoundError:
        raise PlanctonError(
            f"{paths.day}: no day was recorded; a daemon writes it from its first minute on"
        ) from None
    except (OSError, ring.WrongFormat) as error:
        reason = getattr(error, "strerror", None)
        raise PlanctonError(f"{paths.day}: {reason}" if reason else str(error)) from None
    made = page.render_page(rows, facts.hostname, str(paths.day), now, find_zone(facts.timezone))
    if arguments.output == "-":
        sys.stdout.write(made)
        return ExitCode.OK
    try:
        Path(arguments.output).write_text(made, encoding="utf-8")
    except OSError as error:
        raise PlanctonError(f"{arguments.output}: cannot be written: {error.strerror}") from None
    print(f"wrote {arguments.output}")
    return ExitCode.OK
