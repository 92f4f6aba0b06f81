"""The files of one pilot, by which a restarted daemon finds it again.

    <pilots>/plancton-worker-abc123/
        spec.json    written first, by the daemon: what to run
        state.json   by the shim, before the pilot runs: its own pid, start time and boot
        stop.json    by the daemon: asked to end, and until when
        exit.json    by the shim, at the end: exit code, life, CPU time
        output       stdout and stderr
        scratch/     the pilot's working directory

Each file is written whole or not at all (rename).  A file that cannot be read
is missing: what it would have said is then unknown.
"""

from __future__ import annotations

import errno
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hostfiles.private_directory import check_private_directory, make_private_directory
from hostfiles.regular_file import open_regular
from plancton.engine.job_features import Features
from plancton.engine.pilot_spec import NAME_PREFIX, PilotSpec

#: Directories that are being made, and that are being removed, begin with these.
NEW, TRASH = ".new-", ".trash-"
#: Directory with what the pilot is told about its node.
FEATURES = "features"


@dataclass(frozen=True)
class ShimRecord:
    """What a shim wrote about itself."""

    pid: int
    ticks: int  #: start time in clock ticks since boot
    boot: str  #: the kernel's boot id: after a reboot every pid means another process
    began: float  #: seconds on CLOCK_BOOTTIME
    pilot_pid: int


@dataclass(frozen=True)
class EndRecord:
    """What a shim wrote about the end of its pilot."""

    code: int
    detail: str
    lived: float
    cpu_seconds: float


class PilotFiles:
    """The directory of one pilot."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self._shim: ShimRecord | None = None
        self._end: EndRecord | None = None

    @classmethod
    def list_paths(cls, pilots: Path) -> list[Path]:
        """Return the directories of all pilots; raises OSError."""
        try:
            check_private_directory(pilots)
            return sorted(p for p in pilots.iterdir() if p.name.startswith(NAME_PREFIX))
        except FileNotFoundError:
            return []

    @classmethod
    def create(
        cls, pilots: Path, spec: PilotSpec, environment: dict[str, str], stop_grace: float
    ) -> PilotFiles:
        """Make the directory of one pilot below ``pilots``.  Raises OSError.

        It is listed whole or not at all. ``environment`` is all of the pilot's; ``stop_grace`` (s)
        is used when another process than the daemon asks the pilot to end.
        """
        make_private_directory(pilots)
        fresh = pilots / (NEW + spec.name)
        final = pilots / spec.name
        fresh.mkdir(mode=0o700)
        (fresh / "scratch").mkdir(mode=0o700)
        for name in ("output", "spec.json"):  # the environment may hold passwords
            (fresh / name).touch(mode=0o600)
        for path, text in spec.features.items():
            file = fresh / FEATURES / path
            file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        if os.geteuid() == 0:
            # what a pilot of root's starts may be another user, who has to pass and no more
            for directory in (pilots, fresh, fresh / "scratch"):
                directory.chmod(0o711)
            for told in (fresh / FEATURES, *(fresh / FEATURES).rglob("*")):
                if told.exists():
                    told.chmod(0o755 if told.is_dir() else 0o644)
        content = {
            "command": list(spec.command),
            "environment": environment,
            "scratch": str(final / "scratch"),
            "stop_grace": stop_grace,
        }
        (fresh / "spec.json").write_text(json.dumps(content), encoding="utf-8")
        fresh.rename(final)
        return cls(final)

    def tell(self, features: Features) -> None:
        """Write these files about the node anew, each whole, or remove them, where there are some.

        Raises OSError.
        """
        for path, text in features.items():
            file = self.path / FEATURES / path
            if text is None:
                file.unlink(missing_ok=True)
            elif file.parent.is_dir():
                fresh = file.with_name(f".{file.name}.new")
                with open(fresh, "w", encoding="utf-8", opener=open_regular) as told:
                    told.write(text)
                fresh.chmod(0o644)
                fresh.replace(file)

    @property
    def output(self) -> Path:
        """The file with the pilot's standard output and error."""
        return self.path / "output"

    def read_shim(self) -> ShimRecord | None:
        """Return the shim's record; None while there is none that can be read."""
        if self._shim is None:
            found = self._load("state.json")
            try:
                self._shim = ShimRecord(
                    pid=int(found["shim_pid"]),
                    ticks=int(found["shim_ticks"]),
                    boot=str(found["boot"]),
                    began=float(found["began"]),
                    pilot_pid=int(found["pid"]),
                )
            except (KeyError, TypeError, ValueError, OverflowError):
                return None
        return self._shim

    def read_end(self) -> EndRecord | None:
        """Return the record of the end; None while there is none that can be read."""
        if self._end is None:
            found = self._load("exit.json")
            try:
                self._end = EndRecord(
                    code=int(found["code"]),
                    detail=str(found["detail"]),
                    lived=float(found["lived"]),
                    cpu_seconds=float(found["cpu_seconds"]),
                )
            except (KeyError, TypeError, ValueError, OverflowError):
                return None
        return self._end

    def was_asked_to_stop(self) -> bool:
        """Tell whether the pilot was asked to end."""
        return (self.path / "stop.json").exists()

    def ask_to_stop(self, grace: float) -> None:
        """Write the request to end within ``grace`` seconds; an earlier end stays.  Raises OSError.

        The shim may see two requests as one signal, so that the file must hold the earliest.
        Where the disk is full, maybe of what this pilot wrote, the file is empty, which the shim
        takes for the usual grace.
        """
        until = time.clock_gettime(time.CLOCK_BOOTTIME) + grace
        known = self._load("stop.json").get("until")
        if isinstance(known, (int, float)):
            until = min(until, known)
        fresh = self.path / "stop.json.new"
        try:
            with open(fresh, "w", encoding="utf-8", opener=open_regular) as file:
                file.write(json.dumps({"until": until}))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            if known is not None:
                return
        fresh.replace(self.path / "stop.json")

    def _load(self, name: str) -> dict[str, Any]:
        try:
            with open(self.path / name, encoding="utf-8", opener=open_regular) as file:
                loaded = json.load(file)
        except (OSError, ValueError, RecursionError):
            return {}
        return loaded if isinstance(loaded, dict) else {}
