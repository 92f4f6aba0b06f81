"""``planctonctl simulate``: show what the configuration would have done with a recorded load."""

from __future__ import annotations

import argparse
import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.progress import track

from plancton import preflight
from plancton.errors import ExitCode, PlanctonError
from plancton.node.sensors import ProcSensors
from plancton.paths import Paths
from plancton.policy.simulation import add_up, replay


def simulate(paths: Paths, arguments: argparse.Namespace) -> int:
    """Replay the trace and print what the pilots would have got."""
    facts = ProcSensors().read_facts()
    if arguments.ncpus:
        facts = replace(facts, ncpus=arguments.ncpus)
    if arguments.ram:
        facts = replace(facts, ram_bytes=arguments.ram)
    path = Path(arguments.config) if arguments.config else paths.config
    config = preflight.load_config(path, facts)
    lines = list(islice(_read(Path(arguments.trace)), arguments.nodes))
    if not lines:
        raise PlanctonError(f"{arguments.trace}: holds no line of percentages")
    # On stderr, and only where that is a terminal.
    shown = track(lines, "nodes", console=Console(stderr=True), transient=True)
    found = add_up(
        replay(line, arguments.step, config, facts, protected=arguments.cpu_idle) for line in shown
    )
    if arguments.json:
        print(json.dumps(asdict(found), indent=2))
        return ExitCode.OK
    days = found.duration / 86400
    share = found.pilot_cpu / found.idle_cpu if found.idle_cpu else 0.0
    print(f"{found.nodes} nodes of {facts.ncpus} CPUs, {days:.2f} node-days")
    print(f"pilot-hours gained    {found.pilot_time / 3600:.1f}")
    print(f"CPU-hours gained      {found.pilot_cpu / 3600:.1f} ({share:.1%} of the idle ones)")
    print(f"pilots started        {found.started}, evicted {found.evicted}")
    print(
        f"owner collisions      {found.collisions}, "
        f"{found.collision_time / max(1.0, found.duration):.1%} of the time"
    )
    return ExitCode.OK


def _read(path: Path) -> Iterator[list[float]]:
    """Yield each line's percentages.  Raises PlanctonError."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="ascii") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _values(line, f"{path}:{number}")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PlanctonError(f"{path}: cannot be read: {reason}") from error


def _values(line: str, where: str) -> list[float]:
    found = []
    for word in line.split():
        try:
            value = float(word)
        except ValueError:
            value = -1.0
        if not 0 <= value <= 100:
            raise PlanctonError(f"{where}: {word!r} is no percentage of 0 to 100")
        found.append(value)
    return found
