"""Programs that a service needs, installed when they are missing; and ending what was started."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from plancton.engine.process import procfs
from tests.support.waiting import wait_until

_INSTALL_SECONDS = 280


def need(what: str, programs: Sequence[str], packages: Sequence[str], root: bool = True) -> None:
    """Make sure that ``programs`` are there, else skip the test; in CI (``CI=true``) fail it."""
    if root and os.geteuid() != 0:
        lacking(f"{what} needs root")
    missing = [program for program in programs if which(program) is None]
    if not missing:
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        for command in (["update", "-qq"], ["install", "-y", "-qq", *packages]):
            subprocess.run(
                ["apt-get", *command],
                env=environment,
                capture_output=True,
                timeout=_INSTALL_SECONDS,
                check=False,
            )
        missing = [program for program in programs if which(program) is None]
    if missing:
        lacking(f"{what} needs {', '.join(missing)}; on Debian: apt install {' '.join(packages)}")


def which(program: str) -> str | None:
    """As a shell of root would find it."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin:/bin")


def lacking(text: str) -> None:
    """Skip the test on a user's machine; fail it in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


class Program:
    """A service's process, with its log."""

    def __init__(
        self, command: Sequence[str], log: Path, environment: dict[str, str] | None = None
    ) -> None:
        self.log = log
        found = which(command[0])
        assert found is not None, command[0]
        with open(log, "ab") as out:
            self.process = subprocess.Popen(
                [found, *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **(environment or {})},
                # A Ctrl-C is for the tests; they end their services themselves.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def end(self, seconds: float = 30.0) -> None:
        """SIGTERM, and SIGKILL when that is not enough."""
        if self.process.poll() is not None:
            return
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def end_all_with(directory: Path) -> None:
    """Kill every process whose command line names ``directory``: what a killed service left."""
    # whole: the directory of the second server of a kind begins the name of the twentieth's
    name = re.compile(re.escape(os.fsencode(directory)) + rb"(?![\w.-])")
    mine = os.getpid()

    def left() -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != mine:
                try:
                    if name.search((entry / "cmdline").read_bytes()):
                        found.append(int(entry.name))
                except OSError:
                    continue
        return [pid for pid in found if (one := procfs.read(pid)) and one.state not in "ZX"]

    def ended() -> bool:
        for pid in (pids := left()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return not pids

    wait_until(ended, f"the processes of {directory} to end", state=left)


def unmount_all_in(directory: Path) -> None:
    inside = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        place = line.split()[1].encode().decode("unicode_escape")
        if Path(place).is_relative_to(directory):
            inside.append(place)
    for place in sorted(inside, key=len, reverse=True):
        subprocess.run(["umount", "-l", place], check=False, capture_output=True)
