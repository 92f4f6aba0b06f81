"""The site as a client sees it: only commands on PATH."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.process_site import LiveSite
from tests.support.waiting import wait_until

#: Seconds for one change of a job, and for one whole program: a busy machine, not a dead one.
WAIT, PROGRAM = 120.0, 240.0


class Pool(LiveSite):
    """A live site with helpers for callers; a lease long enough for a busy machine."""

    def __init__(self, root: Path, pilots: int, url: str | None = None) -> None:
        super().__init__(root, lease=60.0, pilots=pilots, url=url)
        self.user = pwd.getpwuid(os.getuid()).pw_name

    def up(self) -> None:
        self.start_schedd("--name=vobox1.example.org")
        self.start_plancton()

    def call(
        self,
        command: str,
        cwd: Path,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        bash: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Return a client's command line, through a shell as the client would."""
        return subprocess.run(
            ["/bin/bash" if bash else "/bin/sh", "-c", command],
            cwd=cwd,
            env={**self.env, **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=WAIT,
            check=False,
        )

    def script(self, python: Path, name: str, cwd: Path, *arguments: str, code: int = 0) -> str:
        """Run one of our programs in the clients' environment; its output.

        ``code``: the exit code that it has to end with.
        """
        # a program that sends itself to its jobs, or works beside itself, must do it there
        programs = Path(__file__).parent / "programs"
        program = Path(shutil.copy(programs / name, cwd))
        shutil.copy(programs / "waiting.py", cwd)
        command = ["timeout", "-k", "5", str(PROGRAM), str(python), str(program), *arguments]
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**self.env, "PATH": f"{python.parent}:{self.env['PATH']}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, "\n".join(
            [name, done.stdout, done.stderr[-4000:], _ends_of(cwd, "*err*"), self.said()]
        )
        return done.stdout

    def attributes(self, job: str, *names: str) -> list[str]:
        """Of a job in queue or history; empty while neither has it."""
        for command in ("condor_q", "condor_history"):
            text = self.ask(command, job, "-af:t", *names).rstrip("\n")
            if text:
                return text.split("\t")
        return []

    def status(self, job: str) -> int | None:
        """JobStatus in queue or history; None while neither has the job."""
        found = self.attributes(job, "JobStatus")
        return int(found[0]) if found else None

    def wait_for(self, job: str, status: int) -> None:
        wait_until(
            lambda: self.status(job) == status,
            f"job {job} in state {status}",
            timeout=WAIT,
            state=lambda: self.ask("condor_q", "-nobatch", "-allusers") + self.said(),
        )

    def wait_until_gone(self, job: str, status: int = 3) -> None:
        """Until the job is in the history with this state, and no more in the queue."""
        wait_until(
            lambda: self.ask("condor_history", job, "-af", "JobStatus") == f"{status}\n",
            f"job {job} gone with state {status}",
            timeout=WAIT,
            state=lambda: self.ask("condor_q", "-nobatch", "-allusers") + self.said(),
        )

    def said(self) -> str:
        """Return the end of the site's logs."""
        return _ends_of(self.root, "*.log")


def _ends_of(directory: Path, pattern: str) -> str:
    return "\n".join(
        f"--- {file.name}\n{file.read_text(errors='replace')[-2000:]}"
        for file in sorted(directory.rglob(pattern))
        if file.is_file()
    )
