"""A DockerEngine on real Docker, and direct questions to Docker."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from plancton.config.model import Config
from plancton.engine import pilot_spec
from plancton.engine.docker.engine import DockerEngine
from plancton.engine.pilot_spec import make_name
from plancton.model import Pilot, PilotState
from tests.support.fake_node import FACTS
from tests.support.services.engines import IMAGE, DockerService
from tests.support.services.fixtures import CGROUPS
from tests.support.waiting import wait_until

SLEEPS = ("sh", "-c", "trap 'exit 143' TERM; sleep 600 & wait")

ROOT = Path(__file__).parents[2]
BUSY = ("sh", "-c", "while :; do :; done")
#: How a control group comes last, the best way first.
LAST = (("cpu.idle", "1"), ("cpu.shares", "2"), ("cpu.weight", "1"))


@contextmanager
def yield_to_all(cgroup: str) -> Iterator[None]:
    """Meanwhile nothing in the group runs unless nobody on this machine wants the CPU."""
    top = CGROUPS if (CGROUPS / "cgroup.controllers").exists() else CGROUPS / "cpu"
    ways = [(top / cgroup / name, value) for name, value in LAST]
    place, value = next((place, value) for place, value in ways if place.exists())
    before = place.read_text()
    place.write_text(value)
    try:
        yield
    finally:
        place.write_text(before)


def bind_python() -> list[str]:
    """Return what a container needs that runs this machine's Python and this project.

    Python's own installation, the libraries that it is linked with, and ours.
    """
    places = {"/lib", "/lib64", "/usr", sys.prefix, sys.base_prefix, str(ROOT)}
    return [f"{place}:{place}" for place in sorted(places) if Path(place).is_dir()]


class DockerTest:
    """A DockerEngine, and direct access to its Docker."""

    def __init__(self, service: DockerService, cgroup: str) -> None:
        self.service, self.cgroup = service, cgroup
        self.client = service.client
        self.engine = DockerEngine(service.host, cgroup, CGROUPS)

    def start(self, *command: str, **values: Any) -> str:
        values = {"networks": ("none",), **values}
        config = Config(docker_image=IMAGE, docker_cmd=command or SLEEPS, **values)
        self.engine.prepare(config, FACTS)
        spec = pilot_spec.make_spec(config, FACTS, make_name())
        self.engine.start(spec)
        return spec.name

    def start_running(self, *command: str, **values: Any) -> str:
        name = self.start(*command, **values)
        self.until(name, PilotState.RUNNING)
        return name

    def look(self, name: str) -> Pilot | None:
        found = [pilot for pilot in self.engine.list_pilots() if pilot.name == name]
        return found[0] if found else None

    def until(self, name: str, *states: PilotState) -> Pilot:
        def reached() -> Pilot | None:
            pilot = self.look(name)
            return pilot if pilot is not None and pilot.state in states else None

        found = wait_until(reached, f"{name} {states}", timeout=90.0, state=self.engine.list_pilots)
        assert found is not None
        return found

    def run(self, script: str, **values: Any) -> tuple[int | None, str]:
        """Return the exit code and the output of a pilot that runs ``script``."""
        name = self.start("sh", "-c", script, **values)
        ended = self.until(name, PilotState.EXITED)
        try:
            output: bytes = self.client.logs(name)
        except Exception as error:  # it was never made
            return ended.exit_code, f"{ended.detail} ({type(error).__name__})"
        return ended.exit_code, output.decode()

    def clean(self) -> None:
        self.engine.close()
        self.service.remove_containers()
        self.client.close()
