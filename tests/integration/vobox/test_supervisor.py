"""A VO box of real processes: thyme-schedd, openssl, and CEs that are scripts."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import x509
from tests.support.schedd_process import LiveSchedd
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[3]
#: Seconds; the machine may be busy.
LONG = 45.0


class LiveBox:
    """``python -m vobox.supervisor`` with an environment of its own."""

    def __init__(self, directory: Path, schedd: LiveSchedd) -> None:
        self.directory = directory
        self.log = directory / "box.log"
        self.proxy = x509.proxy(directory / "proxy")
        self.environment = {
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "HOME": str(directory),
            "VOBOX_DIR": str(directory / "box"),
            "THYME_SCHEDD_SOCKET": str(schedd.socket),
            "X509_USER_PROXY": str(self.proxy),
            "CE": "none",
            "CE_BACKOFF": "0.1",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> None:
        self.environment.update(environment)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "vobox.supervisor", "run"], env=self.environment,
                cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.said(), text, timeout=LONG, state=self.said)

    def health(self) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "vobox.supervisor", "health"], env=self.environment,
            cwd=self.directory, capture_output=True, text=True, timeout=LONG, check=False,
        )  # fmt: skip
        assert done.stderr == ""
        return done.returncode, done.stdout.rstrip("\n")

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(LONG)

    def script(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)
        return path

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(LONG)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@pytest.fixture
def box(tmp_path: Path, schedd: LiveSchedd) -> Iterator[LiveBox]:
    made = LiveBox(tmp_path, schedd)
    yield made
    made.close()


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_ce_submits_and_its_life_is_looked_after(box: LiveBox, schedd: LiveSchedd) -> None:
    submit = "cmd = /bin/true\nuse_x509userproxy = true\nqueue 1\n"
    (box.directory / "job.jdl").write_text(submit)
    ce = box.script(
        "ce",
        'condor_submit -terse job.jdl; command -v condor_submit; echo "$$" > pid; '
        "exec sleep 1000\n",
    )

    # given no schedd, the CE waits
    box.start(CE_COMMAND=str(ce))
    box.wait_for(f"waiting for the schedd at {schedd.socket} (no thyme-schedd answers")
    assert box.health() == (1, "waiting for the schedd")

    # when it comes, the CE runs and submits with our commands
    schedd.start()
    box.wait_for("\n1.0 - 1.0\n")
    box.wait_for(f"\n{box.directory}/box/bin/condor_submit\n")
    assert schedd.states() == {"1.0": 1}
    wait_until(lambda: box.health()[0] == 0, "health", timeout=LONG, state=box.health)
    assert box.health() == (0, "healthy: the schedd answers; CE none runs")

    # killed, it is started again
    pid = box.directory / "pid"
    first = int(wait_until(lambda: pid.exists() and pid.read_text().strip(), "the CE's pid"))
    os.kill(first, signal.SIGKILL)
    box.wait_for("ERROR: the CE ended: signal 9")
    box.wait_for("\n2.0 - 2.0\n")
    second = (box.directory / "pid").read_text
    wait_until(lambda: int(second() or 0) not in (0, first), "the next CE", timeout=LONG)

    # the schedd's death shows in the health check, and not in the CE
    schedd.kill()
    code, line = box.health()
    assert code == 1
    assert line.startswith("condor_q: no thyme-schedd answers at")
    assert alive(int(second()))

    # SIGTERM reaches it, and all is over
    assert box.end() == 0
    assert not alive(int(second()))
    assert "signal 15: stopping, 30 s at most" in box.said()


def test_credentials_may_come_later_and_are_renewed(box: LiveBox, schedd: LiveSchedd) -> None:
    schedd.start()
    key = x509.new_key()
    good = box.directory / "good"
    x509.write_file(good, x509.certificate(key, 48) + x509.private(key))
    box.proxy.unlink()
    key_file = x509.write_file(box.directory / "key.pem", x509.private(key), 0o644)
    cert = x509.write_file(box.directory / "cert.pem", x509.certificate(key, 100), 0o644)

    # a key that others can read is no credential, and nothing is made of it
    box.start(
        CE_COMMAND="exec sleep 1000",
        X509_USER_CERT=str(cert),
        X509_USER_KEY=str(key_file),
        PROXY_RENEW=f'cat {good} > "$PROXY_OUT"',
    )
    box.wait_for("its mode is 0644; others must not read it: chmod 600")
    assert "starting the CE" not in box.said()
    code, line = box.health()
    assert code == 1
    assert "its mode is 0644" in line or line == "waiting for the schedd"

    # repaired, a proxy is made and the CE starts
    key_file.chmod(0o600)
    box.wait_for("the proxy was renewed")
    box.wait_for("vobox: starting the CE")
    assert box.proxy.read_bytes() == good.read_bytes()
    assert box.proxy.stat().st_mode & 0o777 == 0o600
    assert not (box.directory / "box/renewal").exists()
    assert box.end() == 0


def test_a_ce_that_ignores_sigterm_is_killed_with_all_its_children(
    box: LiveBox, schedd: LiveSchedd
) -> None:
    schedd.start()
    stubborn = box.script(
        "ce",
        "trap '' TERM\n"
        "setsid sh -c 'trap \"\" TERM; echo $$ > orphan; while :; do sleep 1; done' &\n"
        "echo $$ > pid; while :; do sleep 1; done\n",
    )
    box.start(CE_COMMAND=str(stubborn), CE_GRACE="1")
    files = [box.directory / name for name in ("pid", "orphan")]
    wait_until(
        lambda: all(file.exists() and file.read_text() for file in files),
        "the CE and its orphan",
        timeout=LONG,
        state=box.said,
    )
    pids = [int(file.read_text()) for file in files]
    assert box.end() == 0
    assert [pid for pid in pids if alive(pid)] == []


def test_a_second_one_with_the_same_directory_is_refused(box: LiveBox, schedd: LiveSchedd) -> None:
    schedd.start()
    box.start()
    box.wait_for("schedd and credentials are there")
    second = subprocess.run(
        [sys.executable, "-m", "vobox.supervisor", "run"], env=box.environment, timeout=LONG,
        cwd=box.directory, capture_output=True, text=True, check=False,
    )  # fmt: skip
    directory = box.environment["VOBOX_DIR"]
    why = f"VOBOX_DIR={directory} cannot be used: another thyme-vobox runs with it"
    assert (second.returncode, second.stdout) == (5, "")
    assert second.stderr == f"thyme-vobox: {why}\n"
    wait_until(lambda: box.health()[0] == 0, "health", timeout=LONG, state=box.health)
    box.end(signal.SIGKILL)
    before = len(box.said())
    box.start()
    wait_until(
        lambda: "schedd and credentials are there" in box.said()[before:], "the next one",
        timeout=LONG, state=box.said,
    )  # fmt: skip


def test_orphans_that_end_are_reaped(box: LiveBox, schedd: LiveSchedd) -> None:
    schedd.start()
    parent = box.script(
        "ce", "for n in 1 2 3; do sh -c 'sleep 0.2 & echo $!' >> orphans; done; exec sleep 1000\n"
    )
    box.start(CE_COMMAND=str(parent))
    orphans = box.directory / "orphans"
    wait_until(
        lambda: orphans.exists() and len(orphans.read_text().split()) == 3,
        "three orphans",
        timeout=LONG,
        state=box.said,
    )
    pids = [Path("/proc") / pid for pid in orphans.read_text().split()]
    wait_until(lambda: not any(pid.exists() for pid in pids), "no zombies", timeout=LONG)
    assert box.end() == 0


def test_a_ce_in_the_background_is_started_looked_at_and_stopped(
    box: LiveBox, schedd: LiveSchedd
) -> None:
    """As AliEn's: ``alien StartCE`` leaves a daemon behind, ``StatusCE`` pings it."""
    schedd.start()
    (box.directory / "root/bin").mkdir(parents=True)
    alien = box.script(
        "root/bin/alien",
        'echo "$1" >> calls\n'
        "case $1 in\n"
        "StartMonitor|StartCE) setsid sleep 1000 & echo $! > pid.${1#Start} ;;\n"
        "StatusCE) kill -0 $(cat pid.CE) || { echo 'CE is down!!'; exit 1; } ;;\n"
        "Stop*) kill $(cat pid.${1#Stop}) ;;\n"
        "esac\n",
    )
    box.start(CE="alien", ALIEN_ROOT=str(alien.parents[1]), CE_CHECK="0.2", **ce_user())
    daemon = box.directory / "pid.CE"
    wait_until(lambda: box.health()[0] == 0, "health", timeout=LONG, state=box.said)
    assert box.health() == (0, "healthy: the schedd answers; CE alien runs")
    first = int(daemon.read_text())
    assert alive(first)

    os.kill(first, signal.SIGKILL)
    box.wait_for("ERROR: the CE does not answer: exit code 1 (CE is down!!)")
    wait_until(
        lambda: daemon.read_text().strip() not in ("", str(first)), "the next CE", timeout=LONG
    )
    second = int(daemon.read_text())
    assert box.end() == 0
    assert not alive(second)
    assert {"StopCE", "StopMonitor"} <= set((box.directory / "calls").read_text().split())


@pytest.mark.root
@pytest.mark.skipif(os.getuid() != 0, reason="runs a CE as another user")
def test_root_runs_the_ce_as_its_user(box: LiveBox, schedd: LiveSchedd) -> None:
    schedd.start()
    # pytest's directories are closed to others
    directory = Path("/tmp") / f"vobox-{os.getpid()}"
    try:
        directory.mkdir(mode=0o755)
        proxy = x509.proxy(directory / "proxy")
        os.chown(proxy, *nobody())
        shutil.chown(directory, *nobody())
        box.start(
            CE_USER="nobody",
            CE_COMMAND="id -un; id -Gn; exec sleep 1000",
            VOBOX_DIR=str(directory / "box"),
            X509_USER_PROXY=str(proxy),
            SCHEDD_TIMEOUT="30",
        )
        box.wait_for("vobox: CE none as nobody")
        # the schedd's directory is closed too: the command says so
        box.wait_for("waiting for the schedd")
    finally:
        box.close()
        shutil.rmtree(directory)


def nobody() -> tuple[int, int]:
    import pwd

    entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


def ce_user() -> dict[str, str]:
    return {"CE_USER": "root"} if os.getuid() == 0 else {}
