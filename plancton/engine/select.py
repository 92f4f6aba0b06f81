"""The engine that a configuration names."""

from __future__ import annotations

from pathlib import Path

from plancton.config.model import Config
from plancton.engine.process.engine import ProcessEngine
from plancton.paths import Paths

from .base import Engine


def engine_for(config: Config, paths: Paths) -> Engine:
    """Nothing is asked of it yet: an engine that is down now may be up in a moment."""
    if config.engine == "docker":
        # Imported here: its libraries take 80 ms, which a node without containers never needs.
        from plancton.engine.docker.api import host_of
        from plancton.engine.docker.engine import DockerEngine

        return DockerEngine(
            host_of(config.docker_host), config.cgroup_parent, Path(config.cgroup_root)
        )
    return ProcessEngine(place_of_processes(paths, config.scratch_dir), paths.logdir / "pilots")


def place_of_processes(paths: Paths, scratch_dir: str) -> Path:
    return (Path(scratch_dir) if scratch_dir else paths.rundir) / "pilots"
