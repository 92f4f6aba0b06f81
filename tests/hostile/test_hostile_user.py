"""Whatever a local user does to a schedd run as root, the others are served as before.

Each attack once ended the schedd, filled its memory or kept all others waiting. While it goes on
an honest user's submit, query and job are timed; then the schedd must be the same process, of a
bounded size, and it must start again with what the attacker has left.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.honest_user import HonestUser
from tests.support.schedd_process import LiveSchedd, thin
from tests.support.slow_expressions import make_slow
from tests.support.waiting import wait_until

pytestmark = pytest.mark.root
#: daemon and nobody
HONEST, MALLORY = 1, 65534
#: Bytes of memory that the schedd may have.
MAX_RSS = 700 * 1024 * 1024
#: Where the limits of an owner are tried: jobs in the queue, and bytes of their messages.
MAX_JOBS, MAX_BYTES = 1500, 150_000_000


class Site:
    """A schedd, a worker that is always there, an honest user and Mallory."""

    def __init__(self, top: Path, *options: str) -> None:
        self.schedd = LiveSchedd(top / "schedd")
        self.schedd.options = ["--policy-interval", "1", *options]
        self.schedd.home.chmod(0o777)
        self.place = top / "mallory"
        self.place.mkdir()
        os.chown(self.place, MALLORY, MALLORY)
        self.schedd.start()
        self.schedd.worker("--max-jobs", "0", "--timeout", "600")
        self.honest = HonestUser(self.schedd, HONEST)
        self.honest.measure_quiet()
        self.started: list[subprocess.Popen[bytes]] = []

    def write(self, name: str, text: str) -> Path:
        path = self.place / name
        path.write_text(text)
        os.chown(path, MALLORY, MALLORY)
        return path

    def start(self, name: str, *argv: str, stdin: bytes = b"") -> subprocess.Popen[bytes]:
        """Let Mallory run a command in the background."""
        with tempfile.TemporaryFile() as given:
            given.write(stdin)
            given.seek(0)
            process = subprocess.Popen(
                ["setpriv", f"--reuid={MALLORY}", f"--regid={MALLORY}", "--clear-groups",
                 *thin(name), *argv],
                stdin=given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.place,
                env={"THYME_SCHEDD_SOCKET": str(self.schedd.socket)},
            )  # fmt: skip
        self.started.append(process)
        return process

    def run_python(self, program: str, first_line: str) -> None:
        """Let Mallory run a program in the background; returns once it has printed this line."""
        process = subprocess.Popen(
            ["setpriv", f"--reuid={MALLORY}", f"--regid={MALLORY}", "--clear-groups",
             sys.executable, "-c", program],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        self.started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline().decode() == f"{first_line}\n"
        process.stdout.close()

    def submit(self, *lines: str, queue: str = "queue", check: bool = True) -> str:
        """Let Mallory submit a job that no worker takes; what it says."""
        text = "\n".join(["executable = /bin/true", "requirements = false", *lines, queue])

        def submit() -> subprocess.CompletedProcess[str] | None:
            done = self.schedd.run(
                "condor_submit", stdin=text.encode(), uid=MALLORY, cwd=self.place
            )
            # what the expressions of the test before took counts for a minute
            return None if check and "try again in a minute" in done.stderr else done

        done = wait_until(submit, "Mallory to be served again", timeout=90.0)
        assert not check or done.returncode == 0, done
        return done.stdout + done.stderr

    def clean(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait(20)
        self.started.clear()
        self.schedd.run("condor_rm", "nobody")

    @property
    def pid(self) -> int:
        assert self.schedd.process is not None
        return self.schedd.process.pid

    def reset_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def peak(self) -> int:
        """Return the most bytes of memory that the schedd had since ``reset_peak``."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def rss(self) -> int:
        line = Path(f"/proc/{self.pid}/statm").read_text().split()
        return int(line[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def serving(*options: str) -> Iterator[Site]:
    top = Path(tempfile.mkdtemp(prefix="thyme-mallory-"))
    top.chmod(0o755)
    made = Site(top, *options)
    yield made
    made.clean()
    made.schedd.close()
    shutil.rmtree(top)


@pytest.fixture(scope="module")
def module_site() -> Iterator[Site]:
    with serving() as made:
        yield made


@pytest.fixture
def site(module_site: Site) -> Iterator[Site]:
    with surviving(module_site):
        yield module_site


@pytest.fixture
def limited_site() -> Iterator[Site]:
    options = ("--max-jobs-per-owner", str(MAX_JOBS), "--max-bytes-per-owner", str(MAX_BYTES))
    with serving(*options) as made, surviving(made):
        yield made


@contextmanager
def surviving(site: Site) -> Iterator[None]:
    """Look after a test whether the schedd is the same process, of a bounded size."""
    before = site.pid
    yield
    process = site.schedd.process
    assert process is not None and process.poll() is None, site.schedd.said()[-3000:]
    assert process.pid == before
    assert site.rss() < MAX_RSS
    site.clean()
    site.honest.settle()


@contextmanager
def repeating(action: Callable[[], object]) -> Iterator[None]:
    """Do it again and again in the background."""
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            action()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_description_with_too_many_jobs(site: Site) -> None:
    # first, while no test has used up his CPU time
    said = site.submit(queue="queue 20000\nqueue 20000\nqueue 20000", check=False)
    assert "20000" in said and "ERROR" in said
    site.honest.check()


def test_submits_without_end(limited_site: Site) -> None:
    said: list[str] = []

    def submit() -> None:
        said.append(limited_site.submit(queue="queue 150", check=False))

    with repeating(submit):
        limited_site.honest.check()
        wait_until(lambda: any("ERROR" in each for each in said), "one is refused")
    assert f"would exceed MAX_JOBS_PER_OWNER ({MAX_JOBS})" in said[-1]
    asked = ("-allusers", "-constraint", 'Owner == "nobody"', "-af", "JobStatus")
    assert 0 < len(limited_site.schedd.run("condor_q", *asked).stdout.split()) <= MAX_JOBS


def test_files_without_end(limited_site: Site) -> None:
    big = limited_site.write("much", "")
    big.write_bytes(os.urandom(12 * 1024 * 1024))
    said: list[str] = []

    def submit() -> None:
        said.append(
            limited_site.submit(f"transfer_input_files = {big}", queue="queue 4", check=False)
        )

    limited_site.reset_peak()
    with repeating(submit):
        limited_site.honest.check()
        wait_until(lambda: any("ERROR" in each for each in said), "one is refused")
    assert f"an owner may have {MAX_BYTES}" in said[-1]
    assert limited_site.peak() < MAX_RSS


@pytest.mark.parametrize(
    "lines",
    [
        ["periodic_hold = true", "periodic_hold_subcode = -9223372036854775807 - 1"],
        ["periodic_hold = true", "periodic_hold_subcode = 1e300"],
        ["periodic_hold = true", "+A0 = \"x\"",
         *(f"+A{n} = strcat(A{n - 1}, A{n - 1})" for n in range(1, 21)),
         "periodic_hold_reason = A20"],
        ["periodic_remove = true", "+PeriodicRemoveReason = strcat(\"a\\nb\\0\", MyType)"],
        ["hold = true", "+HoldReasonCode = 13", "+HoldReasonSubCode = 99999999999999999999"],
        ["leave_in_queue = " + make_slow("ProcId")],
        ["periodic_release = real(\"nan\") * 1e400"],
    ],
    ids=["smallest", "infinite", "16 MB reason", "odd reason", "20 digits", "slow", "nan"],
)  # fmt: skip
def test_a_policy_with_any_value(site: Site, lines: list[str]) -> None:
    site.submit(*lines, queue="queue 20", check=False)
    site.schedd.run("condor_release", "-all", uid=MALLORY)
    site.honest.check()
    site.schedd.run("condor_rm", "-all", uid=MALLORY)
    site.honest.check()


def test_policies_that_take_their_time(site: Site) -> None:
    site.submit("periodic_remove = " + make_slow("ProcId"), queue="queue 200")
    site.honest.check()


def test_policies_of_ended_jobs_that_take_their_time(site: Site) -> None:
    text = "executable = /bin/true\non_exit_remove = {}\nleave_in_queue = false\nqueue 40"
    site.start("condor_submit", stdin=text.format(make_slow("ExitCode + ProcId")).encode()).wait(60)
    # not his job, which waits behind Mallory's for the only worker
    site.honest.check("submit", "query")


def test_requirements_that_take_their_time(site: Site) -> None:
    text = "executable = /bin/true\nrequirements = {}\nqueue 200".format(make_slow("ProcId"))
    submit = site.start("condor_submit", stdin=text.encode())
    site.honest.check()
    submit.wait(60)
    site.honest.check()


@pytest.mark.parametrize("command", ["condor_rm", "condor_q", "condor_history", "condor_qedit"])
def test_constraints_that_take_their_time(site: Site, command: str) -> None:
    site.submit(queue="queue 300")
    values = ["A", "1"] if command == "condor_qedit" else []
    everybody = ["-allusers"] if command == "condor_q" else []

    def ask() -> None:
        argv = [*everybody, "-constraint", make_slow("ClusterId + ProcId"), *values]
        site.start(command, *argv).wait(60)

    with repeating(ask):
        site.honest.check()


def test_a_description_of_nested_macros_many_times(site: Site) -> None:
    text = b"x = " + b"$(" * 100_000 + b"\nexecutable = $(x)\nqueue"
    for _ in range(20):
        site.start("condor_submit", stdin=text)
    site.honest.check()


@pytest.mark.parametrize(
    "lines",
    [
        "x = aaaaaaaa\n" + "x = $(x)$(x)\n" * 40 + "queue",
        "".join(f"x{n} = 1\n" for n in range(20_000)) + "queue 0\n" * 50_000,
        "m = 1\nx = " + "$(m)" * 90_000 + "\n"
        + "".join(f'+A{n} = "$(x)"\n' for n in range(20_000)) + "queue",
        "".join(f"x{n} = $(x{n - 1})\n" for n in range(100_000, 0, -1)) + "x0 = $(process)\nqueue",
        "queue f matching (\n" + "/proc/self/root/*/*\n" * 100_000 + ")",
        "queue f matching " + "/proc/*/root/*" * 9,
    ],
    ids=["doubling", "statements", "one job", "chain", "duplicates", "names"],
)  # fmt: skip
def test_a_description_that_means_more_than_it_says(site: Site, lines: str) -> None:
    site.reset_peak()
    for _ in range(4):
        text = f"executable = /bin/true\nrequirements = false\n{lines}"
        site.start("condor_submit", stdin=text.encode())
    site.honest.check()
    assert site.peak() < MAX_RSS


def test_large_input_without_blocks_under_many_names(site: Site) -> None:
    big = site.write("big", "")
    os.truncate(big, 15 * 1024 * 1024)
    names = "\n".join("./" * n + "big" for n in range(1, 61))
    site.write("names", names)
    site.submit("transfer_input_files = $(n)", queue="queue n from names", check=False)
    site.honest.check()


def test_a_submit_whose_messages_are_larger_than_the_memory(site: Site) -> None:
    big = site.write("big", "")
    big.write_bytes(os.urandom(12 * 1024 * 1024))
    site.reset_peak()
    said = site.submit(f"transfer_input_files = {big}", queue="queue 70")
    assert "70 job(s) submitted" in said
    assert site.peak() < MAX_RSS
    site.honest.check()


def test_a_release_of_many_jobs_whose_executables_are_large(site: Site) -> None:
    program = site.write("program", "")
    program.write_bytes(os.urandom(12 * 1024 * 1024))
    text = f"executable = {program}\ntransfer_input_files = late\nrequirements = false\nqueue 3"
    for _ in range(10):
        site.start("condor_submit", stdin=text.encode()).wait(60)
    site.write("late", "it is there")
    site.reset_peak()
    site.start("condor_release", "-all").wait(120)
    # removed jobs of the tests before may be in the queue still
    asked = ("-allusers", "-constraint", f'Cmd == "{program}"', "-af", "JobStatus")
    states = site.schedd.run("condor_q", *asked).stdout.split()
    assert states == ["1"] * 30, "each was released with its input"
    assert site.peak() < MAX_RSS
    site.honest.check()


def test_a_reason_of_megabytes_for_many_jobs(site: Site) -> None:
    site.submit(queue="queue 60")

    def hold() -> None:
        # Linux takes no longer argument
        site.start("condor_hold", "-reason", "x" * 130_000, "-all").wait(60)
        site.schedd.run("condor_release", "-all", uid=MALLORY)

    with repeating(hold):
        site.honest.check()


def test_a_user_log_without_end(site: Site) -> None:
    log = site.write("job.log", "")
    os.truncate(log, 2**40)
    site.submit(f"log = {log}", "periodic_hold = true")
    site.honest.check()


def test_a_user_log_that_is_a_pipe_that_nobody_reads(site: Site) -> None:
    os.mkfifo(site.place / "pipe")
    os.chown(site.place / "pipe", MALLORY, MALLORY)
    site.submit(f"log = {site.place / 'pipe'}", queue="queue 50", check=False)
    site.honest.check()


@pytest.mark.parametrize("kind", ["dots", "signs", "ands", "brackets"])
def test_a_history_file_of_deep_expressions(site: Site, kind: str) -> None:
    depth = 200_000
    text = {
        "dots": "a" + ".a" * depth,
        "signs": "+" * depth + "1",
        "ands": "a" + "&&a" * depth,
        "brackets": "a" + "[0]" * depth,
    }[kind]
    path = site.write("history", f"A = {text}\n*** \n")
    site.start("condor_history", "-file", str(path), "-long").wait(60)
    site.start("condor_history", "-file", str(path), "-af", "A").wait(60)
    site.honest.check()


@pytest.mark.parametrize("kind", ["jobs", "attributes"])
def test_a_large_file_of_jobs(site: Site, kind: str) -> None:
    path = site.write("jobs", "")
    with path.open("w") as file:
        if kind == "jobs":
            file.writelines(["A = 1\n***\n"] * 6_000_000)
        else:
            file.writelines(f"A{number} = 1\n" for number in range(900_000))
            file.write("***\n")
    site.reset_peak()
    before = site.rss()
    for _ in range(4):
        site.start("condor_history", "-file", str(path), "-constraint", "A == 2")
        site.start("condor_history", "-forwards", "-scanlimit", "9999999", "-file", str(path))
        site.start("condor_q", "-jobads", str(path), "-long")
    end = time.monotonic() + 10
    while time.monotonic() < end:
        site.honest.check("query", "submit")
    assert site.peak() - before < MAX_RSS


def test_hundreds_of_queries(site: Site) -> None:
    site.submit(queue="queue 1000")
    program = f"""
import socket, time
words = [b"condor_q", b"/", b"3", b"-allusers", b"-constraint", b"1 == 2"]
body = b"".join(word + b"\\0" for word in words)
lines = [socket.socket(socket.AF_UNIX) for _ in range(400)]
for line in lines:
    line.connect({str(site.schedd.socket)!r})
    line.sendall(b"thyme-rpc 1 %d\\n" % len(body) + body)
print("asked", flush=True)
time.sleep(60)
"""
    site.run_python(program, "asked")
    site.honest.check()


def test_many_connections_that_send_much_or_nothing(site: Site) -> None:
    program = f"""
import socket, time
lines = []
for number in range(400):
    line = socket.socket(socket.AF_UNIX)
    try:
        line.connect({str(site.schedd.socket)!r})
        if number % 2:
            line.sendall(b"thyme-rpc 1 4000000\\n" + b"x" * 100000)
    except OSError:
        continue
    lines.append(line)
print("connected", flush=True)
time.sleep(60)
"""
    site.run_python(program, "connected")
    site.honest.check()


def test_another_users_socket_runs_nothing_as_its_caller(site: Site) -> None:
    program = f"""
import os, socket
listener = socket.socket(socket.AF_UNIX)
listener.bind({str(site.place / "fake.sock")!r})
os.chmod({str(site.place / "fake.sock")!r}, 0o666)
listener.listen()
print("listening", flush=True)
line, _ = listener.accept()
line.recv(1 << 16)
data = b"1000\\0touch\\0" + {str(site.place / "marker")!r}.encode() + b"\\0"
line.sendall(b"r%08d" % len(data) + data)
line.recv(100)
"""
    site.run_python(program, "listening")
    done = site.schedd.run(
        "condor_submit", "x.sub", env={"THYME_SCHEDD_SOCKET": str(site.place / "fake.sock")}
    )
    assert done.returncode == 1
    assert f"the schedd there is run by uid {MALLORY}" in done.stderr
    assert not (site.place / "marker").exists()


def test_the_schedd_starts_again_with_all_that_was_left(module_site: Site) -> None:
    site = module_site
    site.submit("periodic_hold = true", "periodic_hold_subcode = -9223372036854775807 - 1")
    site.submit("leave_in_queue = " + make_slow("ProcId"))
    site.schedd.kill()
    site.schedd.start()
    wait_until(lambda: site.schedd.run("condor_q", "-totals").returncode == 0, "it serves")
    began = time.monotonic()
    site.honest.check()
    assert time.monotonic() - began < 60
    site.clean()
    site.honest.settle()
