"""A real thyme-schedd, the real condor commands and real workers, for the integration tests."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.waiting import wait_until
from tests.support.worker_program import AS_USER
from thyme.broker import Transport, connect
from vobox.supervisor.links import list_commands

ROOT = Path(__file__).parents[2]
#: As an old CE runs them: no site packages, nothing from the environment.
BARE = [sys.executable, "-I", "-S"]
Ended = subprocess.CompletedProcess


def thin(name: str, python: str = sys.executable) -> list[str]:
    """Return the command line that runs a condor command with nothing but a Python."""
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.argv[0] = {name!r};"
        f" from {list_commands()[name]} import main; sys.exit(main())"
    )
    return [python, *BARE[1:], "-c", program]


class LiveSchedd:
    """A schedd with spool, socket and broker in one directory; may be started and killed often.

    ``url`` names another broker than one of its own; it may hold a password.
    """

    #: seconds until it has to be ready
    patience = 60.0

    def __init__(self, directory: Path, name: str = "vobox1.example.org", url: str = "") -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.name = name
        self.broker = directory / "broker" / "broker.db"
        self.broker.parent.mkdir(parents=True, exist_ok=True)
        self.spool = directory / "spool"
        self.socket = directory / "schedd.sock"
        self.home = directory / "home"
        self.home.mkdir(exist_ok=True)
        self.log = directory / "schedd.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._others: list[subprocess.Popen[bytes]] = []
        self.options: list[str] = ["--lease", "10", "--policy-interval", "0.2"]

        self.url = url or f"sqlite://{self.broker}"
        self.url_file = directory / "url"
        self.url_file.write_text(self.url + "\n")
        self.url_file.chmod(0o600)

    @property
    def environment(self) -> dict[str, str]:
        """Of schedd and workers."""
        return {**os.environ, "THYME_URL_FILE": str(self.url_file)}

    def command(self, *options: str) -> list[str]:
        url = ["--url", self.url] if self.url.startswith("sqlite:") else []
        return [
            sys.executable, "-m", "vobox.server.cli", *url, "--spool", str(self.spool), "--socket",
            str(self.socket), "--name", self.name, *self.options, *options,
        ]  # fmt: skip

    def start(self, *options: str, wrapper: Sequence[str] = ()) -> None:
        """Start it and wait until it serves."""
        before = self.said().count("thyme-schedd: ready")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*wrapper, *self.command(*options)], cwd=ROOT, env=self.environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        process = self.process
        wait_until(
            lambda: self.said().count("thyme-schedd: ready") > before or process.poll() is not None,
            "the schedd is ready",
            self.patience,
            state=self.said,
        )
        assert process.poll() is None, self.said()

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def end(self, number: int = signal.SIGTERM) -> int:
        """End it by a signal; its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(20)
        self.process = None
        return code

    def kill(self) -> None:
        self.end(signal.SIGKILL)

    def run(
        self,
        name: str,
        *argv: str | bytes,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        uid: int | None = None,
    ) -> Ended[str]:
        """Run a condor command; ``uid`` (for root): as that user."""
        who = (
            [] if uid is None else ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        )
        done = subprocess.run(
            [*who, *thin(name), *argv], input=stdin, capture_output=True, timeout=60,
            cwd=cwd or self.home,
            env={"THYME_SCHEDD_SOCKET": str(self.socket), **(env or {})},
        )  # fmt: skip
        out, err = (text.decode("utf-8", "surrogateescape") for text in (done.stdout, done.stderr))
        return Ended(done.args, done.returncode, out, err)

    def submit(self, text: str, uid: int | None = None, cwd: Path | None = None) -> int:
        """Submit a description; the cluster id."""
        done = self.run("condor_submit", "-terse", stdin=text.encode(), uid=uid, cwd=cwd)
        assert done.returncode == 0, done
        return int(done.stdout.split(".")[0])

    def states(self, **how: int) -> dict[str, int]:
        """JobStatus of every job in the queue or the history."""
        found = {}
        # in this order: a job that leaves the queue meanwhile is in both
        for name in ("condor_q", "condor_history"):
            everybody = ["-allusers"] if name == "condor_q" else []
            done = self.run(name, *everybody, "-af:j", "JobStatus", **how)  # type: ignore[arg-type]
            assert done.returncode == 0, done
            found.update(
                (line.split()[0], int(line.split()[1])) for line in done.stdout.splitlines()
            )
        return found

    def wait_for(self, **states: int) -> None:
        """Wait for states: ``wait_for(j1_0=4)`` is job 1.0 completed."""
        wanted = {name[1:].replace("_", "."): status for name, status in states.items()}
        wait_until(lambda: wanted.items() <= self.states().items(), f"{wanted}", state=self.states)

    def worker(
        self, *options: str, uid: int | None = None, **variables: str
    ) -> subprocess.Popen[bytes]:
        """Return a real worker, working in the background, with these further variables.

        ``uid`` (for root): as that user.
        """
        scratch = self.directory / "scratch"
        scratch.mkdir(exist_ok=True)
        program = ["-m", "thyme.worker.cli"] if uid is None else ["-c", AS_USER, str(uid)]
        process = subprocess.Popen(
            [
                sys.executable, *program, "--workdir", str(scratch),
                "--timeout", "300", "--heartbeat", "0.5", "--user", "self", *options,
            ],
            cwd=ROOT, env={**self.environment, **variables}, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._others.append(process)
        return process

    def work(self, *options: str) -> None:
        """Let one worker run all there is."""
        process = self.worker("--max-jobs", "0", "--timeout", "0.3", *options)
        process.wait(60)

    def line(self) -> contextlib.AbstractContextManager[Transport]:
        """Return a connection to the broker."""
        return contextlib.closing(connect(self.url))

    def close(self) -> None:
        for process in [*self._others, *([self.process] if self.process else [])]:
            if process.poll() is None:
                process.kill()
            process.wait(20)
