"""planctonctl validate."""

from __future__ import annotations

import argparse
from pathlib import Path

from plancton import config_file, launch
from plancton.config import notes
from plancton.errors import ExitCode
from plancton.host import ProcSensors
from plancton.limits import max_docks
from plancton.paths import Paths


def validate(paths: Paths, arguments: argparse.Namespace) -> int:
    """Prints what the configuration gives on this node; raises ConfigError."""
    path = Path(arguments.file) if arguments.file else paths.config
    facts = ProcSensors().facts()
    config = config_file.load(path, facts)
    example = launch.spec(config, facts, launch.PREFIX + "example"[:6])
    print(f"{path}: good")
    print(f"  engine     {config.engine}")
    print(f"  max_docks  {max_docks(config, facts)} on this node ({facts.ncpus} CPUs)")
    print(f"  command    {' '.join(example.command)}")
    for note in notes(config):
        print(f"  note       {note}")
    if config.engine == "docker":
        print("  note       engine: docker is not built into this version yet")
    return ExitCode.OK
