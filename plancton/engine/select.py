"""Open the engine that a configuration names."""

from __future__ import annotations

from pathlib import Path

from plancton.config.model import Config
from plancton.engine.process.engine import ProcessEngine
from plancton.paths import Paths

from .base import Engine
from .pilot_outputs import PilotOutputs


def open_engine(config: Config, paths: Paths) -> Engine:
    """Return the engine, without asking it anything: it may be down now and up in a moment."""
    if config.engine == "docker":
        # Imported here: its libraries take 80 ms, which a node without containers never needs.
        from plancton.engine.docker.api import find_host
        from plancton.engine.docker.engine import DockerEngine

        return DockerEngine(
            find_host(config.docker_host),
            config.cgroup_parent,
            Path(config.cgroup_root),
            PilotOutputs(paths.pilot_outputs),
        )
    return ProcessEngine(
        find_process_place(paths, config.scratch_dir), PilotOutputs(paths.pilot_outputs)
    )


def find_process_place(paths: Paths, scratch_dir: str) -> Path:
    """Return the directory of the pilots that are processes."""
    return (Path(scratch_dir) if scratch_dir else paths.rundir) / "pilots"
