"""One way for a test to start and observe pilots of a known kind on each engine."""

import signal
import threading
from pathlib import Path
from typing import Protocol

import pytest

from plancton.config.model import Config
from plancton.engine.base import Engine
from plancton.engine.docker.engine import DockerEngine
from plancton.engine.pilot_outputs import PilotOutputs
from plancton.engine.pilot_spec import PilotSpec, make_name, make_spec
from plancton.engine.process.engine import ProcessEngine
from plancton.errors import EngineRefused
from plancton.model import Pilot, PilotState
from tests.support.fake_node import FACTS, FakeClock, FakeEngine, FakePilotStore
from tests.support.services.engines import IMAGE, ContainerService
from tests.support.waiting import wait_until


class EngineHarness(Protocol):
    """Makes an engine and pilots that behave in a known way."""

    def open(self) -> Engine:
        """Return a further engine object over the same pilots, as a restarted daemon has."""
        ...

    def exits(self, code: int) -> tuple[str, ...]: ...

    def sleeps(self) -> tuple[str, ...]: ...

    def reads(self, path: str, value: str) -> tuple[str, ...]:
        """Return a command that ends with 0 if the file in ``$JOBFEATURES`` holds ``value``."""
        ...

    def says(self, text: str) -> tuple[str, ...]:
        """Return a command that prints ``text``, half of it as an error, and goes on."""
        ...

    def awaits(self, path: str, value: str) -> tuple[str, ...]:
        """Return a command that ends with 0 as soon as that file holds ``value``.

        ``value`` may be empty: as soon as there is no such file.
        """
        ...

    def ignores_term(self) -> tuple[str, ...]:
        """Return a command that does not end when asked to."""
        ...

    def is_deaf(self, pilot: Pilot) -> bool:
        """Whether such a pilot has come so far that it ignores being asked."""
        ...

    def missing(self) -> tuple[str, ...]:
        """Return a command that is not there."""
        ...

    def pause(self) -> None:
        """Let a little time pass."""
        ...


class FakeHarness:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.place = FakePilotStore(self.clock)

    def open(self) -> Engine:
        return FakeEngine(self.place)

    def exits(self, code: int) -> tuple[str, ...]:
        return ("exit", str(code))

    def sleeps(self) -> tuple[str, ...]:
        return ("sleep",)

    def reads(self, path: str, value: str) -> tuple[str, ...]:
        return ("reads", f"jobfeatures/{path}", value)

    def says(self, text: str) -> tuple[str, ...]:
        return ("say", text)

    def awaits(self, path: str, value: str) -> tuple[str, ...]:
        return ("awaits", f"jobfeatures/{path}", value)

    def ignores_term(self) -> tuple[str, ...]:
        return ("stubborn",)

    def is_deaf(self, pilot: Pilot) -> bool:
        return True

    def missing(self) -> tuple[str, ...]:
        return ("/nowhere/thyme-worker",)

    def pause(self) -> None:
        self.clock.advance(0.1)


class ProcessHarness:
    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def open(self) -> Engine:
        return ProcessEngine(self.directory / "pilots", PilotOutputs(self.directory / "outputs"))

    def exits(self, code: int) -> tuple[str, ...]:
        return ("sh", "-c", f"exit {code}")

    def sleeps(self) -> tuple[str, ...]:
        return ("sleep", "600")

    def reads(self, path: str, value: str) -> tuple[str, ...]:
        return ("sh", "-c", f'test "$(cat "$JOBFEATURES/{path}")" = {value}')

    def says(self, text: str) -> tuple[str, ...]:
        return (
            "sh",
            "-c",
            f"echo {text[:3]}; echo {text[3:]} >&2; trap 'exit 143' TERM; "
            "while :; do sleep 0.05; done",
        )

    def awaits(self, path: str, value: str) -> tuple[str, ...]:
        test = f'test "$(cat "$JOBFEATURES/{path}")" = {value}'
        if not value:
            test = f'! test -e "$JOBFEATURES/{path}" && ! cat "$JOBFEATURES/{path}"'
        return ("sh", "-c", f"until {test}; do sleep 0.05; done")

    def ignores_term(self) -> tuple[str, ...]:
        return ("sh", "-c", "trap '' TERM; while :; do sleep 0.05; done")

    def is_deaf(self, pilot: Pilot) -> bool:
        status = Path(f"/proc/{pilot.pid}/status").read_text()
        (ignored,) = (line.split()[1] for line in status.splitlines() if "SigIgn" in line)
        return bool(int(ignored, 16) & 1 << signal.SIGTERM - 1)

    def missing(self) -> tuple[str, ...]:
        return ("/nowhere/thyme-worker",)

    def pause(self) -> None:
        pass


class ContainerHarness:
    """Docker and Podman: the first process of a container needs a handler to end by SIGTERM."""

    def __init__(self, service: ContainerService, cgroup: str) -> None:
        self.service, self.cgroup = service, cgroup

    def open(self) -> Engine:
        return DockerEngine(self.service.host, self.cgroup, Path("/sys/fs/cgroup"))

    def exits(self, code: int) -> tuple[str, ...]:
        return ("sh", "-c", f"exit {code}")

    def sleeps(self) -> tuple[str, ...]:
        return ("sh", "-c", "trap 'exit 143' TERM; sleep 600 & wait")

    def reads(self, path: str, value: str) -> tuple[str, ...]:
        return ("sh", "-c", f'test "$(cat "$JOBFEATURES/{path}")" = {value}')

    awaits = ProcessHarness.awaits

    def ignores_term(self) -> tuple[str, ...]:
        return ("sh", "-c", "trap '' TERM; while :; do sleep 0.05; done")

    says = ProcessHarness.says
    is_deaf = ProcessHarness.is_deaf

    def missing(self) -> tuple[str, ...]:
        return ("/nowhere/thyme-worker",)

    def pause(self) -> None:
        pass


class EngineUser:
    """What waits for pilots of an engine, and ends every one at the end."""

    engine: Engine

    def pause(self) -> None:
        """Do what has to happen between two looks."""

    def look(self, name: str) -> Pilot:
        (pilot,) = (pilot for pilot in self.engine.list_pilots() if pilot.name == name)
        return pilot

    def until(self, name: str, state: PilotState) -> Pilot:
        def reached() -> Pilot | None:
            self.pause()
            try:
                pilot = self.look(name)
            except EngineRefused as error:
                if "no such process" not in str(error):
                    raise
                return None  # Podman's list fails when one of its processes ends meanwhile
            return pilot if pilot.state is state else None

        # pilots come last by design: on a busy machine they get to their end slowly
        found = wait_until(
            reached, f"{name} {state.value}", timeout=90.0, state=self.engine.list_pilots
        )
        assert found is not None
        return found

    def clean(self) -> None:
        for pilot in self.engine.list_pilots():
            self.engine.stop(pilot.id, 0.0)
        for pilot in self.engine.list_pilots():
            self.until(pilot.name, PilotState.EXITED)
            self.engine.remove(pilot.id)
        self.engine.close()


class EngineTest(EngineUser):
    """An engine and what the tests need around it."""

    def __init__(self, harness: EngineHarness) -> None:
        self.harness = harness
        self.woken = threading.Event()
        self.engine = harness.open()
        self.engine.watch(self.woken.set)

    def pause(self) -> None:
        self.harness.pause()

    def reopen(self) -> None:
        """As if the daemon had been killed and started again."""
        self.engine.close()
        self.engine = self.harness.open()
        self.engine.watch(self.woken.set)

    def make_spec(self, command: tuple[str, ...]) -> PilotSpec:
        config = Config(docker_cmd=command, docker_image=IMAGE, networks=("none",))
        self.engine.prepare(config, FACTS)
        return make_spec(config, FACTS, make_name(), {"jobfeatures/wall_limit_secs": "777\n"})

    def start(self, command: tuple[str, ...]) -> str:
        one = self.make_spec(command)
        self.engine.start(one)
        return one.name

    def start_deaf(self) -> str:
        name = self.start(self.harness.ignores_term())
        self.until(name, PilotState.RUNNING)
        wait_until(lambda: self.harness.is_deaf(self.look(name)), "a deaf pilot")
        return name


def harness(request: pytest.FixtureRequest, tmp_path: Path) -> EngineHarness:
    if request.param == "fake":
        return FakeHarness()
    if request.param == "process":
        return ProcessHarness(tmp_path)
    service = request.getfixturevalue(f"{request.param}_service")
    return ContainerHarness(service, request.getfixturevalue("cgroup_name"))
