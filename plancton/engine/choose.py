"""The engine that a configuration names."""

from __future__ import annotations

from pathlib import Path

from plancton.config import Config
from plancton.engine.base import Engine
from plancton.engine.process import ProcessEngine
from plancton.errors import EngineNotBuilt
from plancton.paths import Paths


def engine_for(config: Config, paths: Paths) -> Engine:
    """Raises EngineNotBuilt: a container engine is never silently replaced by processes."""
    if config.engine == "docker":
        raise EngineNotBuilt(
            f"{paths.config}: engine: docker (the default) is not built into this version yet; "
            "write `engine: process` to run pilots as processes, without isolation"
        )
    return ProcessEngine(place_of_processes(paths, config.scratch_dir), paths.logdir / "pilots")


def place_of_processes(paths: Paths, scratch_dir: str) -> Path:
    return (Path(scratch_dir) if scratch_dir else paths.rundir) / "pilots"
