"""A VO box without processes and clocks: tasks end when the test says so."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vobox.supervisor.credentials import Credential, Life
from vobox.supervisor.loop import Box
from vobox.supervisor.plan import Clock
from vobox.supervisor.settings import Settings, read_settings
from vobox.supervisor.tasks import Done

HOUR = 3600.0
#: Seconds since the epoch when a test begins.
EPOCH = 1_800_000_000.0


class FakeTasks:
    """Implements what the loop uses of ``Tasks``; records everything."""

    def __init__(self) -> None:
        self.running: dict[str, str] = {}
        self.started: list[str] = []
        self.signals: list[tuple[str, int]] = []
        self.environment: Mapping[str, str] = {}
        self.refuse = ""
        self._done: list[Done] = []
        self.rest_ended = False

    def start(self, task: str, line: str, environment: Mapping[str, str], loud: bool) -> None:
        if self.refuse == task:
            raise OSError(8, "Exec format error")
        assert task not in self.running, f"{task} runs already"
        self.running[task] = line
        self.started.append(task)
        self.environment = environment

    def signal(self, task: str, number: int) -> None:
        self.signals.append((task, number))

    def reap(self) -> list[Done]:
        done, self._done = self._done, []
        return done

    def end_rest(self) -> None:
        self.rest_ended = True

    def end(self, task: str, code: int, tail: str = "") -> None:
        del self.running[task]
        self._done.append(Done(task, code, tail))


class FakeBox:
    """``box`` with fakes around it and a clock that only ``wait`` moves."""

    def __init__(self, directory: Path, **environment: str) -> None:
        self.settings = settings(directory, **environment)
        self.tasks = FakeTasks()
        self.credentials: dict[str, Credential] = {}
        self.said: list[str] = []
        self.clock = Clock(1000.0, EPOCH)
        self.code: int | None = None
        self.box = Box(
            self.settings, self.tasks, self._look, lambda _, text: self.said.append(text)
        )
        self.box.state = self.box.state._replace(began=self.clock.mono)

    def _say(self, _prefix: str, text: str) -> None:
        self.said.append(text)

    def _look(self, _settings: Settings, _now: float) -> tuple[Credential, ...]:
        return tuple(self.credentials.values())

    def credential(self, variable: str, hours: float = 24.0, problem: str = "") -> None:
        life = Life(self.clock.wall, self.clock.wall + hours * HOUR)
        self.credentials[variable] = Credential(variable, f"/{variable}", problem, life)

    def turn(self, times: int = 3) -> None:
        """As often as it takes for one thing to lead to the next."""
        for _ in range(times):
            if self.code is None:
                self.code = self.box.turn(self.clock)

    def wait(self, seconds: float) -> None:
        self.clock = Clock(self.clock.mono + seconds, self.clock.wall + seconds)
        self.turn()

    def end(self, task: str, code: int, tail: str = "") -> None:
        self.tasks.end(task, code, tail)
        self.turn()

    def schedd_answers(self) -> None:
        self.turn()
        self.end("schedd", 0)


def settings(directory: Path, **environment: str) -> Settings:
    given = {"PATH": "/usr/bin:/bin", "VOBOX_DIR": str(directory), **environment}
    return read_settings(given, 1000, "/usr/bin/python3")
