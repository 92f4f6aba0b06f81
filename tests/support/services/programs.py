"""Programs that tests start: whether they are installed, and how they are ended."""

import os
import re
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from plancton.engine.process import procfs
from tests.setup.downloads import DOWNLOADS
from tests.setup.needs import needs_of
from tests.setup.services import SERVICES, which
from tests.support.waiting import wait_until

#: What the test that runs now declares, to be compared with what it uses; None between tests.
_declared: frozenset[str] | None = None


def begin_test(item: pytest.Item) -> None:
    """Skip the test if it needs root or a service that is not here (in CI: fail it)."""
    global _declared
    if item.get_closest_marker("root") and os.geteuid() != 0:
        skip_or_fail("this test needs root")
    _declared = needs_of(item)
    for name in sorted(_declared):
        _check(name)


def end_test() -> None:
    """Let the next one declare its own."""
    global _declared
    _declared = None


def stop_process(pid: int) -> None:
    """Send SIGSTOP to a process and wait until each of its threads has stopped.

    The kernel stops a thread at its next interrupt; until then it may still answer. Raises
    ProcessLookupError if the process has ended.
    """
    os.kill(pid, signal.SIGSTOP)
    tasks = Path(f"/proc/{pid}/task")

    def read_states() -> set[str]:
        try:
            files = [path.read_text() for path in tasks.glob("*/stat")]
        except (FileNotFoundError, ProcessLookupError):  # one ended meanwhile
            return set()
        states = {text.rpartition(")")[2].split()[0] for text in files}
        if not tasks.exists() or states == {"Z"}:
            raise ProcessLookupError(f"process {pid} has ended")
        return states

    wait_until(lambda: read_states() == {"T"}, "all threads to stop", state=read_states)


def need(name: str) -> None:
    """Use a service of SERVICES: it must be here, and the test must have declared it.

    Tests install nothing: `make setup` does, before them.
    """
    if _declared is not None and name not in _declared:
        pytest.fail(f"this test uses {name} and does not say so (tests/setup/needs.py)")
    _check(name)


def _check(name: str) -> None:
    service = SERVICES[name]
    if service.root and os.geteuid() != 0:
        skip_or_fail(f"{service.title} needs root")
    missing = [program for program in service.programs if which(program) is None]
    if missing:
        skip_or_fail(
            f"{service.title} needs {', '.join(missing)}; "
            f"`make setup` as root, or: apt install {' '.join(service.packages)}"
        )
    if service.download and not DOWNLOADS[service.download].there():
        skip_or_fail(f"{DOWNLOADS[service.download].title}: not fetched yet; `make setup` does it")


def skip_or_fail(text: str) -> None:
    """Skip the test; in CI (``CI=true``) fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(text, pytrace=False)
    pytest.skip(text)


class Program:
    """A process of a service, with its log."""

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

    def stop(self) -> None:
        """Stop every thread of it until SIGCONT."""
        stop_process(self.pid)

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
        return [pid for pid in found if (one := procfs.read_stat(pid)) and one.state not in "ZX"]

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
