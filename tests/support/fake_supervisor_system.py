"""A system for ``thyme-vobox run`` without processes, whose clock moves only by waiting."""

from __future__ import annotations

import math
import signal
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

from vobox.supervisor.credentials import Credential, Lifetime
from vobox.supervisor.processes import Result, StopRequested
from vobox.supervisor.run import Supervisor
from vobox.supervisor.settings import Settings, read_settings

HOUR = 3600.0
#: Seconds since the epoch when a test begins.
EPOCH = 1_800_000_000.0


class FakeProcess:
    """A CE in the foreground, which ends at a given time or when it is killed."""

    def __init__(self, clock: FakeSystem, ends: float, code: int) -> None:
        self._clock, self.ends, self._code = clock, ends, code
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None and self._clock.now >= self.ends:
            self.returncode = self._code
        return self.returncode

    def kill(self, code: int) -> None:
        if self.poll() is None:
            self.returncode = code


class FakeSystem:
    """Implements what the supervisor uses of ``System``, and records it."""

    def __init__(self) -> None:
        self.now = 1000.0
        #: when SIGTERM arrives, one after the other
        self.stops: list[float] = []
        #: the results of each command, the last one for ever; succeeds if not named
        self.results: dict[str, list[Result]] = defaultdict(lambda: [Result(0)])
        #: seconds that the next CEs live, and their exit codes; then one lives for ever
        self.lives: list[tuple[float, int]] = []
        self.obeys_sigterm = True
        #: (time, command) of all that was started
        self.started: list[tuple[float, str]] = []
        self.signals: list[tuple[float, int]] = []
        self.environment: Mapping[str, str] = {}
        self.refuses: set[str] = set()
        self.killed_children = False

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return EPOCH + self.now

    def wait(self, seconds: float) -> None:
        ends = [one.ends for one in self._running() if one.ends > self.now]
        until = min([self.now + seconds, *ends, *self.stops])
        assert until < math.inf, "it waits for ever"
        self.now = until
        if self.stops and self.stops[0] <= self.now:
            self.stops.pop(0)
            raise StopRequested(signal.SIGTERM)

    def run(
        self, line: str, environment: Mapping[str, str], timeout: float, show: str = ""
    ) -> Result:
        self.started.append((self.now, line))
        self.environment = environment
        results = self.results[line]
        return results.pop(0) if len(results) > 1 else results[0]

    def run_service(self, line: str, environment: Mapping[str, str], timeout: float) -> Result:
        return self.run(line, environment, timeout)

    def start(
        self, line: str, environment: Mapping[str, str], output: int | None = None
    ) -> FakeProcess:
        self.started.append((self.now, line))
        self.environment = environment
        if line in self.refuses:
            raise OSError(8, "Exec format error")
        life, code = self.lives.pop(0) if self.lives else (math.inf, 0)
        self._process = FakeProcess(self, self.now + life, code)
        return self._process

    def signal_group(self, process: FakeProcess, number: int) -> None:
        self.signals.append((self.now, number))
        if self.obeys_sigterm:
            process.kill(-number)

    def kill_group(self, process: FakeProcess) -> None:
        if process.poll() is None:
            self.signals.append((self.now, signal.SIGKILL))
        process.kill(-signal.SIGKILL)

    def forget(self, process: FakeProcess) -> None:
        assert process.returncode is not None

    def kill_children(self) -> None:
        self.killed_children = True

    def times(self, line: str) -> list[float]:
        """When a command was started, in seconds since the test began."""
        return [at - 1000.0 for at, started in self.started if started == line]

    def _running(self) -> list[FakeProcess]:
        process = getattr(self, "_process", None)
        return [process] if process is not None and process.poll() is None else []


class FakeVobox:
    """``thyme-vobox run`` with fakes around it."""

    def __init__(self, directory: Path, **environment: str) -> None:
        self.settings = make_settings(directory, **environment)
        self.system = FakeSystem()
        self.said: list[str] = []
        #: the credentials at a time since the test began
        self.look: Callable[[float], list[Credential]] = lambda _: []
        self.supervisor = Supervisor(
            self.settings,
            self.system,  # type: ignore[arg-type]
            lambda _, now: tuple(self.look(now - EPOCH - 1000.0)),
            self.said.append,
        )

    def run(self, seconds: float = 5000.0, *stops: float) -> int:
        """Run until SIGTERM after so many seconds, and further ones; returns the exit code."""
        self.system.stops = [1000.0 + at for at in (seconds, *stops)]
        code = self.supervisor.run()
        assert self.system.killed_children
        return code


def credential(variable: str, problem: str = "", hours: float = 24.0) -> Credential:
    """Return a credential that is valid from the beginning of the test."""
    begin = EPOCH + 1000.0
    return Credential(variable, f"/{variable}", problem, Lifetime(begin, begin + hours * HOUR))


def make_settings(directory: Path, **environment: str) -> Settings:
    given = {"PATH": "/usr/bin:/bin", "VOBOX_DIR": str(directory), **environment}
    return read_settings(given, 1000, "/usr/bin/python3")
