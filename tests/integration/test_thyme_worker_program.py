"""``thyme-worker`` as a program: its options, its exit codes, what it says, how it leaves."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.thyme_fakes import submission
from tests.waiting import wait_until
from thyme.cli import parser
from thyme.codec import decode, encode
from thyme.errors import ExitCode
from thyme.job import SandboxFile, Task
from thyme.message import Message
from thyme.transport import Transport, connect
from thyme.transport.sqlite_file import SCHEMA_VERSION

WORKER = Path(sys.executable).with_name("thyme-worker")
PAGE = Path(__file__).parents[2] / "docs/reference/worker.md"
AS_USER = """
import os, shutil, sys, thyme.transport.sqlite
from thyme.cli import main
user = int(sys.argv.pop(1))
os.setgroups([]), os.setgid(user), os.setuid(user)
sys.exit(main(sys.argv[1:]))
"""
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root to be another user")


class Site:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path / "broker.db"
        self.url = f"sqlite://{self.file}"
        self.work = path / "work"
        self.work.mkdir()
        self.started: list[subprocess.Popen[str]] = []
        self._broker: Transport | None = None

    @property
    def broker(self) -> Transport:
        if self._broker is None:
            self._broker = connect(self.url)
        return self._broker

    def submit(self, *tasks: Task, pool: str = "alien_jobs") -> None:
        bodies = [encode(submission(task, f"{n}.0")) for n, task in enumerate(tasks, 1)]
        self.broker.submit(pool, bodies)

    def start(
        self, *options: str, user: int | None = None, env: dict[str, str] | None = None
    ) -> subprocess.Popen[str]:
        # another user need not be able to read where Python and we are installed
        command = [str(WORKER)] if user is None else [sys.executable, "-c", AS_USER, str(user)]
        process = subprocess.Popen(
            [*command, "--workdir", str(self.work), *options],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            cwd=self.path,
            # these tests' jobs write into the test's own directories
            env={
                "PATH": os.environ["PATH"],
                "THYME_JOB_USER": "self",
                **({"THYME_URL": self.url} if env is None else env),
            },
        )
        self.started.append(process)
        return process

    def run(
        self, *options: str, user: int | None = None, env: dict[str, str] | None = None
    ) -> tuple[int, str]:
        """Exit code and what it said; never a traceback."""
        process = self.start("--timeout", "0", *options, user=user, env=env)
        _out, said = process.communicate(timeout=60)
        assert "Traceback" not in said
        return process.returncode, said

    def told(self) -> list[Message]:
        return [decode(record.body) for record in self.broker.read(-1, 10**6)]

    def kinds(self) -> list[str]:
        return [message.kind for message in self.told() if message.kind != "submit"]

    def close(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stderr is not None:
                process.stderr.close()
        if self._broker is not None:
            self._broker.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


TRUE = Task("/bin/true")


def shell(text: str, **task: object) -> Task:
    return Task("/bin/sh", arguments=("-c", text), **task)  # type: ignore[arg-type]


# --- exit codes ------------------------------------------------------------------------------


def test_0_ran_a_job_to_its_end_whatever_the_jobs_own_exit_code(site: Site) -> None:
    site.submit(shell("exit 9"))

    assert site.run() == (0, "")

    assert site.kinds() == ["started", "finished"]
    assert list(site.work.iterdir()) == []


def test_3_nothing_to_do_within_the_timeout(site: Site) -> None:
    assert site.run("--timeout", "0.2") == (3, "")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--url", "sqlite://relative.db"], "write sqlite:///ABSOLUTE/PATH (four slashes in all"),
        (["--url", "sqlite:////dir/"], "write sqlite:///ABSOLUTE/PATH"),
        (["--url", "sqlite:////a%00b"], "write sqlite:///ABSOLUTE/PATH"),
        (["--url", "sqlite:////a?mode=ro"], "write sqlite:///ABSOLUTE/PATH"),
        (["--url", "sqlite://[x"], "broker URL: Invalid IPv6 URL"),
        (
            ["--url", "http://x"],
            "broker URL: unknown scheme 'http'; use amqp://USER:PASSWORD@HOST/VHOST",
        ),
        (["--timeout", "soon"], "argument --timeout: invalid number of seconds value: 'soon'"),
        (["--timeout", "nan"], "argument --timeout: invalid number of seconds value: 'nan'"),
        (["--max-jobs", "-1"], "argument --max-jobs: invalid number of jobs value: '-1'"),
        (["--max-jobs", "x"], "argument --max-jobs: invalid number of jobs value: 'x'"),
        (["--nonsense"], "unrecognized arguments: --nonsense; see thyme-worker --help"),
        (["--queue", "two\nlines"], "queue 'two\\nlines': give at most 255 printable characters"),
        (["--queue", "q" * 256], "give at most 255 printable characters"),
    ],
)
def test_6_bad_invocation(site: Site, options: list[str], said: str) -> None:
    code, line = site.run(*options)

    assert code == 6
    assert line.startswith("thyme-worker: ")
    assert said in line
    assert line.count("\n") == 1


def test_6_no_broker_named(site: Site) -> None:
    assert site.run(env={}) == (
        6, "thyme-worker: no broker named: use --url, THYME_URL_FILE, THYME_URL or "
        "THYME_RABBITMQ\n",
    )  # fmt: skip


def test_a_password_in_a_url_is_never_repeated(site: Site) -> None:
    code, line = site.run("--url", "amqps://worker:secret@broker/")

    assert code == 6
    assert "secret" not in line
    assert line == (
        "thyme-worker: --url: a password on the command line is seen by everybody on this "
        "machine; put the URL into a file that only this user can read, and name that in "
        "THYME_URL_FILE\n"
    )


def test_5_a_scratch_that_cannot_be_used(site: Site) -> None:
    site.submit(TRUE)

    code, line = site.run("--workdir", f"{site.path}/none")

    assert code == 5
    assert line.startswith(
        f"thyme-worker: cannot make a scratch directory in {site.path}/none: [Errno 2] "
    )
    assert site.broker.depth("alien_jobs") == 1


def open_to_all(path: Path) -> None:
    for each in (path, *path.parents):
        if Path(tempfile.gettempdir()) in each.parents:
            each.chmod(each.stat().st_mode | 0o055)


@ROOT_ONLY
@pytest.mark.root
def test_5_a_scratch_of_another_user(site: Site) -> None:
    open_to_all(site.path)
    site.path.chmod(0o777)
    site.work.chmod(0o700)

    code, line = site.run(user=65534)

    assert code == 5
    assert "Permission denied" in line
    assert line.count("\n") == 1


@pytest.fixture
def small_disk(site: Site) -> Iterator[Path]:
    """A disk of 256 KiB for scratch directories, or skip."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(site.work)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs to be root and allowed to mount")
    yield site.work
    subprocess.run(["umount", str(site.work)], check=True)


@pytest.mark.root
def test_5_inputs_that_do_not_fit_go_back_to_the_queue(site: Site, small_disk: Path) -> None:
    big = SandboxFile("big", os.urandom(1_000_000))
    site.submit(Task("/bin/true", files=(big,)))

    code, line = site.run()

    assert code == 5
    assert line == (
        "thyme-worker: Failed to write input file 'big': [Errno 28] No space left on device\n"
    )
    assert site.kinds() == ["started", "evicted"]
    assert site.told()[-1].reason in line
    assert list(small_disk.iterdir()) == []


@pytest.mark.root
def test_a_job_that_fills_its_scratch_is_reported_and_cleaned_up(
    site: Site, small_disk: Path
) -> None:
    site.submit(shell("echo before; head -c 9000000 /dev/zero > fill; echo after; exit 4"))

    assert site.run() == (0, "")

    finished = site.told()[-1]
    assert finished.exit_code == 4
    assert finished.stdout.startswith(b"before\n")
    assert [file.name for file in finished.files] == ["fill"]
    assert list(small_disk.iterdir()) == []


# --- 4: brokers that cannot be used ----------------------------------------------------------


def refused(site: Site, **more: int) -> str:
    code, said = site.run("--timeout", "20", **more)  # type: ignore[arg-type]
    assert code == 4
    *warnings, last = said.splitlines()
    assert all("; next try in " in line for line in warnings)
    assert last.startswith("thyme-worker: ")
    return last


def test_4_a_file_that_is_no_database(site: Site) -> None:
    site.file.write_text("this is not a database, whatever its name\n" * 100)

    assert refused(site) == f"thyme-worker: broker {site.file}: file is not a database"
    assert site.file.read_text().startswith("this is not")


def test_4_another_programs_database(site: Site) -> None:
    other = sqlite3.connect(site.file)
    other.execute("CREATE TABLE cookies(name)")
    other.close()
    before = site.file.read_bytes()

    assert refused(site) == (
        f"thyme-worker: broker {site.file}: this is another program's database"
    )
    assert site.file.read_bytes() == before


def test_4_a_database_of_a_later_version(site: Site) -> None:
    later = sqlite3.connect(site.file)
    later.execute("PRAGMA user_version=999")
    later.close()

    assert refused(site) == (
        f"thyme-worker: broker {site.file}: it has version 999, this program knows "
        f"{SCHEMA_VERSION}; "
        "update thyme on this side"
    )


def test_4_a_directory_that_is_not_there(site: Site) -> None:
    site.url = f"sqlite://{site.path}/none/broker.db"

    assert refused(site).startswith(
        f"thyme-worker: cannot use the broker {site.path}/none/broker.db: [Errno 2] No such file"
    )


@ROOT_ONLY
@pytest.mark.root
def test_4_a_directory_that_is_not_writable(site: Site) -> None:
    open_to_all(site.path)
    site.work.chmod(0o777)

    assert "Permission denied" in refused(site, user=65534)


@ROOT_ONLY
@pytest.mark.root
def test_4_another_users_broker(site: Site) -> None:
    site.submit(TRUE)
    open_to_all(site.path)
    site.path.chmod(0o777)
    site.work.chmod(0o777)

    last = refused(site, user=65534)

    assert f"cannot use the broker {site.file}: [Errno 13] Permission denied" in last
    assert site.kinds() == []


def test_4_a_full_disk(site: Site) -> None:
    """A disk that is full, played by SQLite's own limit on the size of the file."""
    site.submit(TRUE)
    site.broker.close()
    site._broker = None
    # no process may make a file longer than it is now: SQLite sees a write that fails
    script = (
        "import resource, signal, sys; from thyme.cli import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [
            sys.executable, "-c", script, "--url", site.url, "--workdir", str(site.work),
            "--user", "self",
        ],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 4
    last = done.stderr.splitlines()[-1]
    assert re.fullmatch(
        rf"thyme-worker: broker {site.file}: (disk I/O error|database or disk is full)", last
    )
    assert "Traceback" not in done.stderr
    assert site.kinds() == []
    assert site.broker.depth("alien_jobs") == 1


# --- where the broker and the pool are named --------------------------------------------------


def test_the_url_is_read_from_a_file(site: Site) -> None:
    site.submit(TRUE)
    (site.path / "url").write_text(f"{site.url}\n")

    code, _said = site.run(
        env={"THYME_URL_FILE": f"{site.path}/url", "THYME_URL": "sqlite:////elsewhere/b.db"}
    )

    assert code == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot read"), (b"", "is empty"), (b"\xff\xfe", "cannot read")],
)
def test_6_a_url_file_that_cannot_be_used(site: Site, content: bytes | None, said: str) -> None:
    if content is not None:
        (site.path / "url").write_bytes(content)

    code, line = site.run(env={"THYME_URL_FILE": f"{site.path}/url"})

    assert code == 6
    assert line.startswith("thyme-worker: THYME_URL_FILE: ")
    assert said in line


def test_the_option_goes_before_the_environment(site: Site) -> None:
    site.submit(TRUE)

    code, _said = site.run("--url", site.url, env={"THYME_URL": "sqlite:////elsewhere/b.db"})

    assert code == 0


@pytest.mark.parametrize("by_option", [True, False])
def test_the_names_of_2017_still_say_where_the_broker_is(site: Site, by_option: bool) -> None:
    with socket.socket() as nobody:  # bound, and nobody listens
        nobody.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{nobody.getsockname()[1]}"
        options = ["--rabbitmq", place] if by_option else []

        code, said = site.run(*options, env={} if by_option else {"THYME_RABBITMQ": place})

    assert code == 4
    assert place in said.splitlines()[-1]


def test_6_a_place_of_2017_holds_no_password(site: Site) -> None:
    assert site.run("--rabbitmq", "worker:secret@broker", env={}) == (
        6,
        "thyme-worker: THYME_RABBITMQ: write HOST or HOST:PORT; for a user and a password use "
        "THYME_URL_FILE\n",
    )


@ROOT_ONLY
@pytest.mark.root
def test_what_names_the_broker_is_gone_from_the_workers_environment(site: Site) -> None:
    site.submit(shell(f"touch {site.path}/up; until [ -e {site.path}/go ]; do sleep 0.05; done"))
    worker = running(site)

    shown = Path(f"/proc/{worker.pid}/environ").read_bytes()
    (site.path / "go").touch()

    assert ended(worker) == 0
    assert b"THYME_JOB_USER=self" in shown
    assert site.url.encode() not in shown


def test_the_pool_is_named_by_option_or_environment(site: Site) -> None:
    site.submit(TRUE, pool="gpu")
    site.submit(TRUE, pool="big")

    assert site.run()[0] == 3
    assert site.run(env={"THYME_URL": site.url, "THYME_QUEUE": "gpu"})[0] == 0
    assert site.run("--queue", "big", env={"THYME_URL": site.url, "THYME_QUEUE": "gpu"})[0] == 0


# --- how many ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "done"), [([], 1), (["--max-jobs", "3"], 3), (["--max-jobs", "0"], 5)]
)
def test_so_many_jobs_and_no_more(site: Site, limit: list[str], done: int) -> None:
    site.submit(*[TRUE] * 5)

    assert site.run(*limit) == (0, "")

    assert site.kinds() == ["started", "finished"] * done
    assert site.broker.depth("alien_jobs") == 5 - done


def test_garbage_in_the_queue_is_kept_aside_and_said(site: Site) -> None:
    site.broker.submit("alien_jobs", [b"garbage"])
    site.broker.submit("alien_jobs", [encode(submission())])

    code, said = site.run("--timeout", "1")

    assert code == 0
    assert said.startswith("thyme-worker: message kept aside: not a thyme message: ")
    assert [letter.body for letter in site.broker.dead_letters()] == [b"garbage"]


# --- what it costs ----------------------------------------------------------------------------

MIB = 1024 * 1024


def kib(worker: subprocess.Popen[str], name: str) -> int:
    """A size that the kernel knows of it; 0 when it has ended."""
    for line in Path(f"/proc/{worker.pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0


def test_a_jobs_input_files_are_not_kept_in_memory_while_it_runs(site: Site) -> None:
    wait = f"touch {site.path}/up; until [ -e {site.path}/go ]; do sleep 0.05; done"
    site.submit(shell(wait, files=(SandboxFile("in", bytes(100 * MIB)),)))
    worker = running(site)

    resident = kib(worker, "VmRSS")
    (site.path / "go").touch()

    assert ended(worker) == 0
    assert resident < 60 * 1024


def test_a_result_is_read_and_deflated_bit_by_bit(site: Site) -> None:
    site.submit(shell("head -c 150000000 /dev/zero > out", max_output=200 * MIB))
    worker = site.start("--timeout", "10")

    peaks = [0]
    while worker.poll() is None:
        peaks.append(kib(worker, "VmHWM"))
        time.sleep(0.005)

    assert ended(worker) == 0
    (file,) = site.told()[-1].files
    assert (file.name, len(file.data)) == ("out", 150_000_000)
    assert 0 < max(peaks) < 60 * 1024


def test_a_job_over_its_time_is_ended_and_held_and_its_output_kept(site: Site) -> None:
    site.submit(
        shell("trap 'echo asked; exit 1' TERM; echo up; while :; do sleep 0.05; done",
              allowed_execute_duration=1.0)
    )  # fmt: skip

    assert site.run() == (0, "")

    finished = site.told()[-1]
    assert (finished.exit_code, finished.signal) == (None, None)
    assert (finished.hold.code, finished.stdout) == (47, b"up\nasked\n")


# --- leaving ----------------------------------------------------------------------------------


def running(site: Site, *options: str) -> subprocess.Popen[str]:
    worker = site.start(*options)
    wait_until((site.path / "up").exists, "the job to be up", state=site.kinds)
    return worker


def ended(worker: subprocess.Popen[str]) -> int:
    _out, said = worker.communicate(timeout=60)
    assert "Traceback" not in said
    return worker.returncode


def test_sigterm_evicts_the_job_and_ends_with_143(site: Site) -> None:
    site.submit(
        shell(f"trap 'touch {site.path}/asked; exit' USR1; touch {site.path}/up; "
              "while :; do sleep 0.05; done", kill_signal=int(signal.SIGUSR1)), TRUE,
    )  # fmt: skip
    worker = running(site)

    worker.terminate()

    assert ended(worker) == 143
    assert (site.path / "asked").exists()
    assert site.kinds() == ["started", "evicted"]
    assert site.told()[-1].reason == "evicted with its pilot"
    assert list(site.work.iterdir()) == []


DEAF = "trap '' TERM INT; touch {}/up; while :; do sleep 0.05; done"


def test_a_deaf_job_is_killed_after_its_grace(site: Site) -> None:
    site.submit(shell(DEAF.format(site.path), kill_grace=0.3))
    worker = running(site)

    worker.terminate()

    assert ended(worker) == 143
    assert site.kinds() == ["started", "evicted"]
    assert site.told()[-1].usage.wall >= 0.3


def test_a_second_sigterm_ends_a_deaf_job_at_once(site: Site) -> None:
    site.submit(shell(DEAF.format(site.path), kill_grace=3000.0))
    worker = running(site, "--verbose")
    worker.terminate()
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(timeout=0.5)  # it gives the job its grace

    worker.terminate()

    assert ended(worker) == 143
    assert site.kinds() == ["started", "evicted"]


def test_an_idle_worker_ends_with_128_and_the_signal(site: Site) -> None:
    worker = site.start("--timeout", "600", "--verbose")
    wait_until(lambda: list(Path(f"{site.file}.connections").glob(f"{worker.pid}-*")), "the worker")

    worker.send_signal(signal.SIGINT)

    assert ended(worker) == 130


# --- the page ---------------------------------------------------------------------------------


def test_the_page_names_every_option_and_every_exit_code() -> None:
    page = PAGE.read_text()
    options = [
        option
        for action in parser()._actions
        for option in action.option_strings
        if option.startswith("--")
    ]

    assert len(options) >= 9
    for option in options:
        assert f"| `{option}" in page, option
    for code in ExitCode:
        assert re.search(rf"^\| {code.value} \|", page, re.MULTILINE), code
    for default in ("120", "16", "60", "alien_jobs"):
        assert default in page


def test_the_page_names_every_variable_of_a_jobs_environment() -> None:
    from thyme.executor import environment

    page = PAGE.read_text()

    for name in environment(TRUE, "/scratch", "slot1_1@node"):
        assert f"`{name}" in page, name
