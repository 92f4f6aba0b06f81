"""Run pilots as process trees, each with its own scratch directory.

For one's own workstation, and for trying Plancton out without containers.  A
pilot is killed whole and yields the CPU to everybody, but nothing else is
held back: it sees the owner's files and may use all the memory.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from plancton.config.model import Config
from plancton.engine import job_features
from plancton.engine.job_features import Features
from plancton.engine.pilot_outputs import PilotOutputs, read_end
from plancton.engine.pilot_spec import PilotSpec
from plancton.errors import EngineError, EngineUnavailable, StartFailed
from plancton.model import HostFacts, Pilot, PilotState, PilotUsage, Prepared, Usage

from . import procfs
from .exit_watch import ExitWatch
from .pilot_files import FEATURES, PilotFiles, ShimRecord
from .trash import Trash

_SHIM = Path(__file__).with_name("shim.py")
#: Seconds after which a pilot whose shim never wrote itself down is given up.
CREATION_GRACE = 10.0
#: What a pilot inherits of the daemon's environment.
INHERITED = ("PATH", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME")
#: What the shim's Python may need to start at all.
_FOR_PYTHON = ("LD_LIBRARY_PATH",)


class ProcessEngine:
    """The pilots below the directory ``pilots``; ``outputs`` keeps the end of their output."""

    name = "process"
    #: A shim does not tell when its pilot runs.
    starting_interval = 0.1
    isolation = (
        "Pilots are processes of this user without isolation: "
        "nothing limits their memory, and they can read what the user can."
    )

    def __init__(self, pilots: Path, outputs: PilotOutputs | None = None) -> None:
        self._directory = pilots
        self.place = str(pilots)
        self._trash = Trash(pilots, outputs)
        self._files: dict[str, PilotFiles] = {}
        self._watch: ExitWatch | None = None
        #: shims that this object started, until they are reaped; then their exit code,
        #: None if a signal ended them (how their pilot ended is then unknown)
        self._children: dict[str, int] = {}
        self._statuses: dict[str, int | None] = {}
        self._first_seen: dict[str, float] = {}
        self._cpu: dict[str, float] = {}
        self._cpu_of_removed = 0  # microseconds
        self._boot = procfs.read_boot_id()

    def prepare(self, config: Config, facts: HostFacts) -> Prepared:
        """Return nothing: processes have no image, and only their priority protects the owner."""
        return Prepared()

    def list_pilots(self) -> tuple[Pilot, ...]:
        """Return every pilot that has a directory here, running or ended."""
        try:
            paths = PilotFiles.list_paths(self._directory)
        except OSError as error:
            raise EngineUnavailable(
                f"{self._directory}: cannot be read: {error.strerror}"
            ) from error
        self._files = {path.name: self._files.get(path.name) or PilotFiles(path) for path in paths}
        self._reap()
        return tuple(self._pilot(files) for files in self._files.values())

    def start(self, spec: PilotSpec) -> None:
        """Create the pilot's directory and start its supervising process; raises StartFailed."""
        environment = {key: os.environ[key] for key in INHERITED if key in os.environ}
        scratch = str(self._directory / spec.name / "scratch")
        environment |= {"HOME": scratch, "TMPDIR": scratch}
        if spec.features:
            directory = str(self._directory / spec.name / FEATURES)
            environment |= job_features.make_variables(directory, spec.environment)
        environment |= spec.environment
        environment[procfs.MARK_VARIABLE] = spec.name
        try:
            files = PilotFiles.create(self._directory, spec, environment, spec.config.stop_grace)
        except OSError as error:
            self._trash.remove_unstarted(spec.name)
            raise StartFailed(
                f"{spec.name}: no scratch directory in {self._directory}: {error.strerror}"
            ) from error
        try:
            pid = self._spawn(files)
        except OSError as error:
            self._trash.remove_unstarted(spec.name)
            raise StartFailed(f"{spec.name}: no process: {error.strerror}") from error
        self._files[spec.name] = files
        self._children[spec.name] = pid
        started = procfs.read_stat(pid)
        if self._watch is not None and started is not None:
            self._watch.add(pid, started.start)

    def stop(self, pilot_id: str, grace: float) -> None:
        """Ask a pilot's processes to end, and have them killed after ``grace`` seconds."""
        files = self._known(pilot_id)
        if files is None or files.read_end() is not None:
            return
        try:
            files.ask_to_stop(grace)
            shim = files.read_shim()
            if shim is not None:
                if self._alive(shim):
                    os.kill(shim.pid, signal.SIGTERM)
            elif pilot_id in self._children:
                os.kill(self._children[pilot_id], signal.SIGTERM)
        except ProcessLookupError:
            pass  # ended just now
        except OSError as error:
            raise EngineError(f"{pilot_id}: cannot be asked to end: {error.strerror}") from error

    def share_cpu(self, weights: Mapping[str, int]) -> None:
        """Do nothing: all run at the lowest priority, and are evicted for CPU."""

    def tell(self, pilot_id: str, features: Features) -> None:
        """Write files about the node into the pilot's directory; raises EngineError."""
        files = self._known(pilot_id)
        if files is None:
            return
        try:
            files.tell(features)
        except OSError as error:
            raise EngineError(f"{pilot_id}: cannot be told: {error.strerror}") from error

    def remove(self, pilot_id: str) -> None:
        """Remove the directory of an ended pilot; raises EngineError for a running one."""
        files = self._known(pilot_id)
        if files is None:
            return
        self._reap()
        pilot = self._pilot(files)
        if pilot.state is not PilotState.EXITED:
            raise EngineError(f"{pilot_id}: is {pilot.state.value}; stop it first")
        try:
            self._trash.discard(files.path)
        except OSError as error:
            raise EngineError(f"{pilot_id}: cannot be removed: {error.strerror}") from error
        cpu = max(self._cpu.pop(pilot_id, 0.0), pilot.cpu_seconds or 0.0)
        self._cpu_of_removed += _microseconds(cpu)
        self._files.pop(pilot_id, None)
        self._statuses.pop(pilot_id, None)
        self._first_seen.pop(pilot_id, None)

    def read_output(self, pilot_id: str) -> bytes | None:
        """Return the end of a pilot's output; None for one that is not listed."""
        files = self._known(pilot_id)
        try:
            return None if files is None else read_end(files.output)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise EngineError(f"{pilot_id}: output cannot be read: {error.strerror}") from error

    def read_usage(self) -> Usage:
        """Return the CPU time and memory of the pilots, from their trees of processes."""
        running = {
            shim.pid: name
            for name, files in self._files.items()
            if (shim := files.read_shim()) is not None
            and files.read_end() is None
            and self._alive(shim)
        }
        pilots: dict[str, PilotUsage] = {}
        for pid, used in procfs.measure_trees(running).items():
            # The CPU time of a child that was not waited for disappears with it: never count back.
            cpu = max(self._cpu.get(running[pid], 0.0), used.cpu_seconds)
            pilots[running[pid]] = PilotUsage(cpu, used.memory_bytes)
            self._cpu[running[pid]] = cpu
        for name, files in self._files.items():
            end = files.read_end()
            if end is not None:
                self._cpu[name] = max(self._cpu.get(name, 0.0), end.cpu_seconds)
        # whole numbers: a sum of floats depends on the order and may come out a hair smaller
        total = self._cpu_of_removed + sum(map(_microseconds, self._cpu.values()))
        return Usage(
            cpu_seconds=total / 1e6,
            memory_bytes=sum(used.memory_bytes for used in pilots.values()),
            pilots=pilots,
        )

    def watch(self, wake: Callable[[], None]) -> None:
        """Call ``wake``, from any thread, soon after a pilot's process ends."""
        self._trash.start()
        self._watch = ExitWatch(wake)
        for pilot in self.list_pilots():
            self._adopt(self._known(pilot.id))

    def close(self) -> None:
        """Stop watching and deleting. Pilots go on."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        self._trash.close()

    def _spawn(self, files: PilotFiles) -> int:
        environment = {key: os.environ[key] for key in _FOR_PYTHON if key in os.environ}
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", str(_SHIM), str(files.path)],
            {**environment, procfs.MARK_VARIABLE: files.name},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(files.output), os.O_WRONLY | os.O_APPEND, 0),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            # From its first instruction: a stop must wait until the shim can pass it on.
            setsigmask=(signal.SIGTERM, signal.SIGCHLD),
        )

    def _known(self, pilot_id: str) -> PilotFiles | None:
        if pilot_id not in self._files:
            path = self._directory / pilot_id
            if path not in PilotFiles.list_paths(self._directory):
                return None
            self._files[pilot_id] = PilotFiles(path)
        return self._files[pilot_id]

    def _pilot(self, files: PilotFiles) -> Pilot:
        asked = files.was_asked_to_stop()
        shim = files.read_shim()
        # In this order: a shim notes the end and then ends, so one that is seen dead here
        # has noted what it will ever note.
        alive = shim is not None and self._alive(shim)
        end = files.read_end()
        pilot = Pilot(
            id=files.name,
            name=files.name,
            state=PilotState.STOPPING if asked else PilotState.RUNNING,
            asked_to_stop=asked,
            cpu_seconds=self._cpu.get(files.name),
        )
        if shim is not None and alive:
            self._adopt(files)
            age = time.clock_gettime(time.CLOCK_BOOTTIME) - shim.began
            return replace(pilot, age=age, pid=shim.pilot_pid)
        if end is not None:
            return replace(
                pilot,
                state=PilotState.EXITED,
                age=end.lived,
                exit_code=end.code,
                cpu_seconds=end.cpu_seconds,
                never_ran=end.code in (126, 127) and bool(end.detail),
                detail=end.detail,
            )
        if shim is None and self._may_still_start(files.name):
            return pilot if asked else replace(pilot, state=PilotState.STARTING, age=0.0)
        return self._lost(pilot)

    def _lost(self, pilot: Pilot) -> Pilot:
        """Return the pilot whose supervising process ended without a record.

        That process was killed, or the node went down.
        """
        procfs.kill_marked(pilot.name)
        code = self._statuses.get(pilot.name)
        detail = "its supervising process was killed" if code is None else "see its output"
        return replace(pilot, state=PilotState.EXITED, exit_code=code, detail=detail)

    def _may_still_start(self, name: str) -> bool:
        if name in self._children:
            return True
        if name in self._statuses:
            return False
        # Made by a daemon that was killed just then: its shim may be on its way.
        seen = self._first_seen.setdefault(name, time.monotonic())
        return time.monotonic() - seen < CREATION_GRACE

    def _alive(self, shim: ShimRecord) -> bool:
        return shim.boot == self._boot and procfs.is_alive(shim.pid, shim.ticks)

    def _adopt(self, files: PilotFiles | None) -> None:
        shim = files.read_shim() if files else None
        if self._watch is not None and shim is not None and self._alive(shim):
            self._watch.add(shim.pid, shim.ticks)

    def _reap(self) -> None:
        for name, pid in list(self._children.items()):
            try:
                ended, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                del self._children[name]
                continue
            if ended:
                del self._children[name]
                code = os.waitstatus_to_exitcode(status)
                self._statuses[name] = code if code >= 0 else None


def _microseconds(seconds: float) -> int:
    return round(seconds * 1e6)
