"""A small site of real processes, for tests that kill them.

Every process carries ``PLANCTON_TEST_SITE=<root>`` in its environment or works
below the root, which is how ``left_over`` finds what has not ended.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from tests.support.waiting import wait_until

MARK = "PLANCTON_TEST_SITE"
PROGRAMS = Path(sys.executable).parent
#: Pilots get the CPU when nobody else wants it. On a machine where tests keep every core busy
#: that is hardly ever, and no deadline is long enough. Root takes it back; anybody else may not.
AS_ANYBODY = """#!/bin/sh
{ chrt --other --pid 0 $$; renice -n 0 -p $$; echo 0 > /proc/$$/autogroup; } > /dev/null 2>&1
exec "$@"
"""


class LiveSite:
    def __init__(
        self,
        root: Path,
        lease: float = 4.0,
        pilots: int = 3,
        url: str | None = None,
        workers_url: str | None = None,
    ) -> None:
        """Prepare a site; nothing is started yet.

        Args:
            root: its directory.
            lease: seconds.
            pilots: how many plancton starts at most.
            url: of the broker (a new embedded one).
            workers_url: of the same broker, for the pilots' workers (``url``).
        """
        self.root = root
        self.url = url or f"sqlite://{root}/broker.db"
        self.spool = root / "spool"
        # in memory, as /run: its files of ended jobs would cost more than the jobs on some disks;
        # a Unix socket's path must stay short, pytest's directories do not
        self._short = Path(tempfile.mkdtemp(prefix="site-", dir="/dev/shm"))
        self.socket = self._short / "schedd.sock"
        self.lease = lease
        #: more options of each schedd that is started
        self.schedd_options: list[str] = []
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        kept = {"HOME": str(root), "LANG": "C.UTF-8"}
        self.env = {
            **kept,
            "PATH": f"{PROGRAMS}:/usr/bin:/bin",
            "THYME_SCHEDD_SOCKET": str(self.socket),
            MARK: str(root),
            # not an option: it may hold a password
            "THYME_URL": self.url,
        }
        (root / "scratch").mkdir()
        for part in ("run", "log", "conf"):
            (root / "plancton" / part).mkdir(parents=True)
        as_anybody = root / "as-anybody"
        as_anybody.write_text(AS_ANYBODY)
        #: plancton's; see ``configure``
        self.config: dict[str, Any] = {
            "engine": "process",
            "docker_cmd": [
                "/bin/sh",
                str(as_anybody),
                str(PROGRAMS / "thyme-worker"),
                "--timeout=2",
                "--heartbeat=0.4",
                "--max-backoff=1",
            ],
            # the jobs of these tests write into the test's own directories
            "environment": {
                MARK: str(root),
                "THYME_URL": workers_url or self.url,
                "THYME_JOB_USER": "self",
            },
            "scratch_dir": str(root / "scratch"),
            "max_docks": pilots,
            "max_dock_mem": 50_000_000,
            "mem_reserve": 0,
            # these tests are about deaths, not about the owner of a busy test machine
            "cpu_reserve": -64.0,
            "memory_stall": 100.0,
            "grace_kill": 3600.0,
            "main_sleep": 0.3,
            "no_work_backoff": 0.2,
            "no_work_backoff_max": 0.5,
            "breaker_backoff": 0.5,
        }
        self.config_file = root / "plancton/conf/config.yaml"
        self.configure()

    def configure(self, **values: Any) -> None:
        """Write plancton's configuration, with other values."""
        self.config |= values
        self.config_file.write_text(yaml.safe_dump(self.config))

    # --- processes ------------------------------------------------------------------

    def start_schedd(self, *options: str) -> None:
        """Start a schedd with more options, and wait until it takes jobs."""
        log = self.root / "schedd.log"
        before = log.stat().st_size if log.exists() else 0
        self.begin_schedd(*options)
        wait_until(
            lambda: b"ready" in log.read_bytes()[before:],
            "the schedd to be ready",
            state=log.read_text,
        )

    def begin_schedd(self, *options: str) -> None:
        """Start a schedd with more options, which may not be ready for a while."""
        self._start(
            "schedd",
            self.root / "schedd.log",
            "thyme-schedd",
            f"--spool={self.spool}",
            f"--socket={self.socket}",
            f"--lease={self.lease}",
            "--policy-interval=1",
            *self.schedd_options,
            *options,
        )

    def start_plancton(self) -> None:
        log = self.root / "plancton.log"
        self._start("plancton", log, "planctonctl", *self._plancton_options(), "nodaemon")

    def start_worker(self, name: str = "worker", *options: str) -> None:
        self._start(
            name,
            self.root / f"{name}.log",
            "thyme-worker",
            f"--workdir={self.root / 'scratch'}",
            "--heartbeat=0.4",
            "--user=self",
            *options,
        )

    def _plancton_options(self) -> list[str]:
        return [f"--{part}dir={self.root}/plancton/{part}" for part in ("run", "log", "conf")]

    def _start(self, name: str, log: Path, program: str, *arguments: str) -> None:
        with log.open("ab") as target:
            self.running[name] = subprocess.Popen(
                [PROGRAMS / program, *arguments],
                env=self.env,
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=target,
                stderr=target,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """Kill -9 and wait for its death."""
        self.running[name].kill()
        self.running[name].wait()

    def workers(self) -> list[int]:
        """Return the pids of the living thyme-workers of this site."""
        return [pid for pid, command in self._marked() if "thyme-worker" in command]

    def command(
        self, *words: str, stdin: str | None = None, timeout: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PROGRAMS / words[0], *words[1:]],
            env=self.env,
            cwd=self.root,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def ask(self, *words: str, stdin: str | None = None) -> str:
        """Run a command that has to succeed; return its standard output."""
        done = self.command(*words, stdin=stdin)
        assert done.returncode == 0, (words, done)
        return done.stdout

    # --- the end ----------------------------------------------------------------------

    def stop(self) -> list[tuple[int, str]]:
        """End everything; what was still there a while after being asked (should be nothing)."""
        self.command("planctonctl", *self._plancton_options(), "force-stop")
        for process in self.running.values():
            with suppress(ProcessLookupError):
                process.terminate()
        for process in self.running.values():
            try:
                process.wait(30.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        left: list[tuple[int, str]] = []
        with suppress(AssertionError):
            wait_until(lambda: not self._marked(), "everything to end", timeout=30.0)
        left = self._marked()
        for pid, _command in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self._short, ignore_errors=True)
        return left

    def _marked(self) -> list[tuple[int, str]]:
        """Return the processes of this site: marked, or working below its root."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                environment = (entry / "environ").read_bytes()
                command = (entry / "cmdline").read_text(errors="replace").replace("\0", " ")
                where = str((entry / "cwd").readlink())
            except OSError:
                continue
            if f"{MARK}={self.root}\0".encode() in environment or where.startswith(
                f"{self.root}/scratch"
            ):
                found.append((int(entry.name), command))
        return found


def submit_text(lines: Sequence[str]) -> str:
    return "".join(line + "\n" for line in lines)
