"""A node with the real daemon: its directories, its commands, and its clean-up."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from plancton.engine.process import procfs
from tests.support.waiting import wait_until

#: Fills up whatever else this machine does, and answers quickly.
CONFIG: dict[str, Any] = {
    "engine": "process",
    "docker_cmd": "sleep 600",
    "max_docks": 3,
    "cpu_reserve": -100,
    "max_dock_mem": 1_000_000,
    "mem_reserve": 0,
    "memory_stall": 100,
    "updateconfig": 0.1,
}


class Node:
    """One run directory, its daemon and all their processes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.rundir = directory / "run"
        (directory / "conf").mkdir()
        self.daemons: list[subprocess.Popen[bytes]] = []
        #: added to the environment of all commands
        self.environment: dict[str, str] = {}

    def configure(self, **values: Any) -> None:
        text = yaml.safe_dump({**CONFIG, **values})
        fresh = self.directory / "conf" / "new"
        fresh.write_text(text)
        fresh.replace(self.directory / "conf" / "config.yaml")

    def command(self, *words: str) -> list[str]:
        dirs = ("log", "run") if "PLANCTON_CONF_URL" in self.environment else ("log", "run", "conf")
        places = [f"--{name}dir={self.directory / name}" for name in dirs]
        return [sys.executable, "-m", "plancton", *places, *words]

    def ctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, **self.environment},
        )

    def time_status(self) -> float:
        """Return how many seconds planctonctl takes to tell the status."""
        began = time.monotonic()
        done = self.ctl("status")
        assert done.returncode == 0, done
        return time.monotonic() - began

    def nodaemon(self, out: Path | None = None) -> subprocess.Popen[bytes]:
        """Its output goes to ``log``, or to ``out``."""
        with open(out or self.directory / "stdout", "ab") as file:
            daemon = subprocess.Popen(
                self.command("nodaemon"),
                stdout=file,
                stderr=file,
                env={**os.environ, **self.environment},
            )
        self.daemons.append(daemon)
        return daemon

    def kill(self) -> None:
        """Kill the last daemon with -9."""
        self.daemons[-1].kill()
        self.daemons[-1].wait()

    def terminate(self) -> None:
        """End the last daemon as systemd does; pilots go on."""
        self.daemons[-1].terminate()
        assert self.daemons[-1].wait(60) == 0, self.log()

    def fill(self, count: int = 3, **values: Any) -> dict[str, int]:
        """Start a daemon with this configuration; return its pilots once ``count`` run."""
        self.configure(**values)
        self.nodaemon()
        return self.wait_for(count)

    def status(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.ctl("status", "--json").stdout)
        return document

    def published(self) -> dict[str, Any]:
        """Return the status file itself: cheaper than the command, for waiting."""
        try:
            document: dict[str, Any] = json.loads((self.rundir / "status.json").read_text())
        except FileNotFoundError:
            return {"daemon": {"pid": None}, "pilots": []}
        return document

    def running(self) -> dict[str, int]:
        """Return the pilots that run, by name, with their pid."""
        return running(self.published())

    def wait_for(self, count: int, daemon: subprocess.Popen[bytes] | None = None) -> dict[str, int]:
        """Until ``count`` pilots run (as seen by ``daemon``)."""

        def there() -> tuple[dict[str, int]] | None:
            document = self.published()
            right = daemon is None or document["daemon"]["pid"] == daemon.pid
            found = running(document)
            return (found,) if right and len(found) == count else None

        reached = wait_until(there, f"{count} pilots", state=self.log)
        assert reached is not None
        return reached[0]

    def wait_for_daemon(self, daemon: subprocess.Popen[bytes]) -> None:
        """Until this daemon has made a pass."""
        wait_until(
            lambda: self.published()["daemon"]["pid"] == daemon.pid, "a daemon", state=self.log
        )

    def wait_for_others(self, *gone: str, timeout: float = 60.0) -> None:
        """Until three pilots run, and none of those that are ``gone`` is among them."""
        wait_until(
            lambda: len(found := self.running()) == 3 and found.keys().isdisjoint(gone),
            "three pilots, others among them",
            timeout,
            self.log,
        )

    def wait_for_breaker(self) -> None:
        """Until failures of pilots have opened the circuit breaker."""
        wait_until(
            lambda: self.published().get("breaker", {}).get("state") == "open",
            "an open breaker",
            state=self.log,
        )

    def log(self) -> str:
        return "".join(
            path.read_text()
            for path in (self.directory / "stdout", self.directory / "log/plancton.log")
            if path.exists()
        )

    def marked(self) -> set[int]:
        """Every living process of a pilot of this node, found by its scratch directory."""
        mark = f"HOME={self.rundir}".encode()
        found = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if mark in (entry / "environ").read_bytes():
                        found.add(int(entry.name))
                except OSError:
                    continue
        return {pid for pid in found if not gone(pid)}

    def clean(self) -> None:
        for daemon in self.daemons:
            if daemon.poll() is None:
                daemon.kill()
            daemon.wait()
        # Also ends a daemon that `start` left in the background.
        done = self.ctl("force-stop")
        assert done.returncode == 0, done.stderr
        assert self.marked() == set()


def running(document: dict[str, Any]) -> dict[str, int]:
    """Return the running pilots of a status document: names and process ids."""
    pilots = document["pilots"] or []
    return {p["name"]: p["pid"] for p in pilots if p["state"] == "running"}


def gone(pid: int) -> bool:
    found = procfs.read_stat(pid)
    return found is None or found.state in "ZX"
