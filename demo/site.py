"""The programs of the site: start, query, kill and stop them."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import yaml

from . import processes
from .errors import Broken
from .layout import Layout
from .plan import HEARTBEAT, LEASE, MAIN_SLEEP, PILOT_TIMEOUT, PILOTS, ce_arguments

SCHEDD, PLANCTON, CE = "thyme-schedd", "plancton", "demo-ce"

#: Seconds for one of our commands, for a program to come up, and for it to end when asked to.
#: Each takes about one; a busy machine may need thirty times that.
_COMMAND, _UP, _DOWN = 60.0, 60.0, 60.0
#: The demo's site must not inherit another site's settings.
_FOREIGN = ("THYME_", "ALIEN_", "PLANCTON_", "X509_", "_CONDOR_", "HTCONDOR_", "CONDOR_")


def make_environment(given: Mapping[str, str], layout: Layout) -> dict[str, str]:
    """Make the environment variables of the site's programs."""
    kept = {name: text for name, text in given.items() if not name.upper().startswith(_FOREIGN)}
    programs = str(Path(sys.executable).parent)
    return {
        **kept,
        "PATH": f"{programs}:{given.get('PATH', os.defpath)}",
        processes.MARK: str(layout.root),
        "THYME_SCHEDD_SOCKET": str(layout.socket),
        "PYTHONUNBUFFERED": "1",
    }


def plancton_config(layout: Layout, worker: str) -> dict[str, object]:
    """Make Plancton's configuration on this node; ``worker`` is thyme-worker's path."""
    return {
        "engine": "process",
        "docker_cmd": [
            worker,
            f"--url={layout.url}",
            f"--timeout={PILOT_TIMEOUT}",
            f"--heartbeat={HEARTBEAT}",
        ],
        # jobs run as the user who runs the demo, so they have to be below his directory
        "environment": {processes.MARK: str(layout.root), "THYME_JOB_USER": "self"},
        "scratch_dir": str(layout.scratch),
        "max_docks": PILOTS,
        "max_dock_mem": 50_000_000,
        "mem_reserve": 0,
        # The demo shows faults, not eviction: whatever else this machine does, four pilots
        # at idle priority are right, also on one core.
        "cpu_reserve": -64.0,
        "memory_stall": 100.0,
        "grace_kill": 3600.0,
        "grace_spawn": 0.0,
        "main_sleep": MAIN_SLEEP,
        "no_work_backoff": 0.5,
        "no_work_backoff_max": 1.0,
        "breaker_backoff": 1.0,
        "stop_grace": 5.0,
    }


class Site:
    """The running site. ``tear_down`` ends everything that was started and only that."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._environment = make_environment(os.environ, layout)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        worker = shutil.which("thyme-worker", path=self._environment["PATH"])
        if worker is None:
            raise Broken("thyme-worker is not installed beside this Python; run make demo")
        config = yaml.safe_dump(plancton_config(layout, worker))
        (layout.plancton("conf") / "config.yaml").write_text(config)

    # -- programs ---------------------------------------------------------------

    def start_schedd(self) -> None:
        """Start the schedd and wait until it is ready; raises Broken."""
        layout = self._layout
        log = layout.log(SCHEDD)
        before = log.stat().st_size if log.exists() else 0
        self._start(
            SCHEDD,
            [
                "thyme-schedd",
                f"--url={layout.url}",
                f"--spool={layout.spool}",
                f"--socket={layout.socket}",
                f"--lease={LEASE}",
            ],
        )
        deadline = time.monotonic() + _UP
        while b"thyme-schedd: ready" not in log.read_bytes()[before:]:
            if time.monotonic() > deadline or self.ended(SCHEDD):
                raise Broken(f"thyme-schedd did not come up; see {log}")
            time.sleep(0.02)

    def start_plancton(self) -> None:
        """Start the Plancton daemon."""
        self._start(PLANCTON, ["planctonctl", *self._plancton_options(), "nodaemon"])

    def start_ce(self) -> None:
        """Start the demo CE."""
        command = [sys.executable, "-m", "demo_ce", *ce_arguments()]
        command += [f"--dir={self._layout.ce}", f"--ledger={self._layout.ledger}"]
        self._start(CE, command)

    def _plancton_options(self) -> list[str]:
        return [f"--{part}dir={self._layout.plancton(part)}" for part in ("run", "log", "conf")]

    def _start(self, name: str, command: Sequence[str]) -> None:
        with open(self._layout.log(name), "ab") as log:
            self._running[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                # Relative paths and `python -m` must not depend on where make was called.
                cwd=Path(__file__).parent.parent,
                # Ctrl-C on the terminal is for the demo, which ends its programs in order.
                start_new_session=True,
            )

    def ended(self, name: str) -> bool:
        """Tell whether this program, once started, has ended."""
        return self._running[name].poll() is not None

    def code(self, name: str) -> int | None:
        """Return the exit code of a program; None while it runs."""
        return self._running[name].poll()

    def kill(self, name: str) -> None:
        """Kill a program with SIGKILL, and wait for its end."""
        self._running[name].kill()
        self._running[name].wait()

    def stop(self, name: str) -> int | None:
        """Send SIGTERM; return the exit code, or None if it had to be killed."""
        process = self._running[name]
        if process.poll() is None:
            process.terminate()
        return self.wait(name)

    def wait(self, name: str) -> int | None:
        """Wait for a program's end; return the exit code, or None if it had to be killed."""
        process = self._running[name]
        try:
            return process.wait(timeout=_DOWN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None

    def wipe_spool(self) -> None:
        """Delete the schedd's spool, as if its disk were lost."""
        shutil.rmtree(self._layout.spool)
        self._layout.spool.mkdir()

    # -- commands ---------------------------------------------------------------

    def run_command(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a condor command to its end; raises Broken when it hangs."""
        try:
            return subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                env=self._environment,
                start_new_session=True,
                timeout=_COMMAND,
            )
        except subprocess.TimeoutExpired as error:
            raise Broken(f"{' '.join(command)} did not answer within {_COMMAND:.0f} s") from error

    def run_checked(self, *command: str) -> str:
        """Run a command that has to succeed, and return what it printed; raises Broken."""
        done = self.run_command(*command)
        if done.returncode != 0:
            said = " ".join((done.stderr or done.stdout).split())
            raise Broken(f"{' '.join(command)}: exit code {done.returncode}: {said}")
        return done.stdout

    def planctonctl(self, *command: str) -> str:
        """Run planctonctl and return its output; raises if it fails."""
        return self.run_checked("planctonctl", *self._plancton_options(), *command)

    # -- the end ----------------------------------------------------------------

    def tear_down(self) -> list[processes.Process]:
        """End everything that still runs; return the processes that could not be ended."""
        # Programs that start others are ended first; each may have been killed already.
        for name in (CE, PLANCTON, SCHEDD):
            process = self._running.get(name)
            if process is not None and process.poll() is None:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=3.0)
        left = processes.kill_all(self._layout.root)
        for process in self._running.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=1.0)
        return left
