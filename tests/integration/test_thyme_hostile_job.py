"""A job that attacks its worker: with a worker that is root, and with one that is not."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.thyme_fakes import submission
from tests.waiting import wait_until
from thyme.codec import decode, encode
from thyme.job import SandboxFile, Task
from thyme.message import Finished, Message
from thyme.transport import connect
from thyme.users import AUTOMATIC, FIRST_UID

ATTACK = Path(__file__).parents[1] / "hostile_job.py"
SECRET = "correct-horse-battery-staple"  # noqa: S105
#: A worker that is not root, for a test that is.
PLAIN = 54321
#: ``python -c WORKER UID BROKER OPTIONS...``: a worker whose URL has a password, and whose broker
#: is a file all the same. Everything is imported before it is another user.
WORKER = """
import os, sys, grp, shutil, thyme.cli, thyme.transport.amqp_url
from thyme.transport.sqlite import SqliteTransport
user, broker = int(sys.argv[1]), sys.argv[2]
if user != os.geteuid():
    os.setgroups([]), os.setgid(user), os.setuid(user)
thyme.cli.connect = lambda url: SqliteTransport(broker)
sys.exit(thyme.cli.main(sys.argv[3:]))
"""
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root to be another user")
root_tests = [ROOT_ONLY, pytest.mark.root]


def python_for_all() -> str:
    """A Python that any user can run: the one that runs this test may be in root's home."""
    for path in (sys.executable, "/usr/bin/python3"):
        real = Path(path).resolve()
        reached = [real, *real.parents] if os.geteuid() == 0 else []
        if real.exists() and all(each.stat().st_mode & 0o1 for each in reached):
            return str(real)
    pytest.skip("needs a Python that every user can run")


class Site:
    def __init__(self) -> None:
        # not pytest's directory: other users must be able to pass
        self.path = Path(tempfile.mkdtemp(prefix="thyme-hostile-"))
        self.path.chmod(0o755)
        self.private = self.path / "private"
        self.private.mkdir(mode=0o700)
        self.work = self.path / "work"
        self.work.mkdir()
        self.work.chmod(0o1777)
        self.url_file = self.private / "url"
        self.url_file.write_text(f"amqp://worker:{SECRET}@127.0.0.1/")
        self.url_file.chmod(0o400)
        self.broker_file = self.private / "broker.db"
        self.started: list[subprocess.Popen[str]] = []

    def own_by(self, user: int) -> None:
        if os.geteuid() == 0:
            for path in (self.private, *self.private.iterdir()):
                os.chown(path, user, user)

    def submit(self, *tasks: Task) -> None:
        broker = connect(f"sqlite://{self.broker_file}")
        bodies = [encode(submission(task, f"{n}.0")) for n, task in enumerate(tasks, 1)]
        broker.submit("alien_jobs", bodies)
        broker.close()

    def start(
        self, user: int, *options: str, prefix: Sequence[str] = (), **env: str
    ) -> subprocess.Popen[str]:
        self.own_by(user)
        process = subprocess.Popen(
            [
                *prefix,
                sys.executable, "-c", WORKER, str(user), str(self.broker_file), "--workdir",
                str(self.work), "--timeout", "5", *options,
            ],
            env={"PATH": "/usr/bin:/bin", **env}, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.started.append(process)
        return process

    def told(self) -> list[Message]:
        broker = connect(f"sqlite://{self.broker_file}")
        records = broker.read(-1, 10**6)
        broker.close()
        return [decode(record.body) for record in records]

    def result(self, worker: subprocess.Popen[str]) -> Finished:
        _out, said = worker.communicate(timeout=90)
        assert "Traceback" not in said, said
        assert worker.returncode == 0, said
        finished = self.told()[-1]
        assert isinstance(finished, Finished)
        return finished

    def close(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.communicate()
        shutil.rmtree(self.path)


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


def attack(site: Site, *paths: str) -> Task:
    program = SandboxFile("attack.py", ATTACK.read_bytes())
    arguments = ("attack.py", SECRET, *paths)
    return Task(python_for_all(), arguments=arguments, files=(program,))


#: Which of them, other workers on this machine have a word in.
OWN_USERS = range(FIRST_UID, FIRST_UID + AUTOMATIC)
#: What every job meets, whoever its worker is.
ALWAYS = {
    **dict.fromkeys(
        (
            "worker's environ",
            "worker's mem",
            "worker's maps",
            "worker's auxv",
            "worker's files",
            "worker's directory",
        ),
        "EACCES",
    ),
    "attach": "EPERM",
    "seize": "EPERM",
    "memory": "EPERM",
    "copy of a file": "EPERM",
    "be root": "EPERM",
    "be group root": "EPERM",
    "secret": [],
    "own environment": False,
    "session": True,
    "rights": {
        **dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapAmb"), "0" * 16),
        "NoNewPrivs": "1",
        "Groups": "",
    },
}  # fmt: skip


def got(finished: Finished) -> dict[str, object]:
    assert finished.exit_code == 0, finished.stderr.decode()
    found: dict[str, object] = json.loads(finished.stdout)
    return found


def assert_a_users_of_its_own(ids: object) -> None:
    assert isinstance(ids, list)
    assert ids == [ids[0]] * 6
    assert ids[0] in OWN_USERS


def assert_contained(found: dict[str, object]) -> None:
    assert {name: found[name] for name in ALWAYS} == ALWAYS
    streams = found["open"]
    assert isinstance(streams, list)
    # nothing of the worker's: no connection, no lock, no pipe
    assert [Path(each).name for each in streams] == ["null", "_condor_stdout", "_condor_stderr"]


#: As in a container, where a job is started in another way.
FIRST_PROCESS = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


@ROOT_ONLY
@pytest.mark.root
@pytest.mark.parametrize("prefix", [(), FIRST_PROCESS], ids=["any process", "first process"])
def test_a_job_of_a_worker_that_is_root_gets_nothing(site: Site, prefix: tuple[str, ...]) -> None:
    others = site.work / "thyme_1/dir_other"
    others.mkdir(parents=True)
    others.parent.chmod(0o711)
    (others / "proxy").write_text("another job's")
    os.chown(others, FIRST_UID + 1, FIRST_UID + 1)
    others.chmod(0o700)
    setuid = site.path / "cat"
    shutil.copy("/bin/cat", setuid)
    setuid.chmod(0o4755)
    # its living owner keeps the other worker's place, also from being swept
    keeper = subprocess.Popen(["flock", str(others.parent), "sleep", "600"])
    try:
        site.submit(
            attack(
                site, f"url={site.url_file}", f"broker={site.broker_file}",
                f"run setuid={setuid},{site.url_file}", f"list workers={others.parent}",
                f"list other={others}", f"proxy={others}/proxy",
            )
        )  # fmt: skip
        worker = site.start(0, prefix=prefix, THYME_URL_FILE=str(site.url_file))
        found = got(site.result(worker))
    finally:
        keeper.terminate()
        keeper.wait()

    assert_contained(found)
    refused = {"url", "broker", "list workers", "list other", "proxy", "own den"}
    assert {name: found[name] for name in refused} == dict.fromkeys(refused, "EACCES")
    assert {found["signal"], found["all signals"]} == {"EPERM"}
    assert found["run setuid"] == ""
    assert found["bounding"] == "0" * 16
    assert_a_users_of_its_own(found["ids"])


@ROOT_ONLY
@pytest.mark.root
def test_the_setuid_program_of_that_test_is_one(site: Site) -> None:
    setuid = site.path / "cat"
    shutil.copy("/bin/cat", setuid)
    setuid.chmod(0o4755)

    read = subprocess.run(
        ["setpriv", f"--reuid={FIRST_UID}", f"--regid={FIRST_UID}", "--clear-groups", setuid,
         site.url_file], capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert SECRET in read.stdout, read.stderr


def test_a_job_of_a_worker_that_is_not_root_finds_no_secret_in_it(site: Site) -> None:
    user = PLAIN if os.geteuid() == 0 else os.geteuid()
    site.submit(attack(site, "hosts=/etc/hosts"))
    worker = site.start(user, THYME_URL=f"amqp://worker:{SECRET}@127.0.0.1/")

    found = got(site.result(worker))

    assert_contained(found)
    ids = found["ids"]
    assert isinstance(ids, list)
    assert ids[:3] == [user] * 3


def test_a_url_file_that_jobs_can_read_is_pointed_out_once(site: Site) -> None:
    user = PLAIN if os.geteuid() == 0 else os.geteuid()
    site.submit(Task("/bin/true"), Task("/bin/true"))

    worker = site.start(user, "--max-jobs=2", THYME_URL_FILE=str(site.url_file))
    _out, said = worker.communicate(timeout=60)

    assert worker.returncode == 0
    assert said == (
        "thyme-worker: jobs run as this worker's own user and can read the broker's password in "
        f"{site.url_file}; let the worker be root, or hand it the URL through a pipe "
        "(THYME_URL_FILE=/dev/fd/3)\n"
    )


def test_a_url_through_a_pipe_leaves_nothing_for_the_job(site: Site) -> None:
    site.submit(attack(site))
    command = [
        "bash", "-c", 'exec "$@" 3< <(echo "$SECRET_URL")', "bash",
        "env", "-u", "SECRET_URL", "THYME_URL_FILE=/dev/fd/3",
        sys.executable, "-c", WORKER, str(os.geteuid()), str(site.broker_file),
        "--workdir", str(site.work),
    ]  # fmt: skip
    worker = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True,
        env={"PATH": "/usr/bin:/bin", "SECRET_URL": f"amqp://worker:{SECRET}@127.0.0.1/"},
    )  # fmt: skip
    site.started.append(worker)

    assert_contained(got(site.result(worker)))


@ROOT_ONLY
@pytest.mark.root
def test_whatever_a_job_of_another_user_left_is_killed_and_removed(site: Site) -> None:
    leave = (
        "mkdir -p deep/er; touch deep/er/file; chmod 0 deep/er deep\n"
        "setsid sh -c 'echo $$ > left; exec sleep 600' &\n"
        "(setsid sh -c 'trap \"\" TERM HUP INT; echo $$ > double; while :; do sleep 1; done' &)\n"
        "while [ ! -s left ] || [ ! -s double ]; do sleep 0.02; done; cat left double\n"
        "id -u; umask; chmod 0 ."
    )
    site.submit(Task("/bin/sh", arguments=("-c", leave)))

    finished = site.result(site.start(0, THYME_URL_FILE=str(site.url_file)))

    left, double, uid, umask = finished.stdout.split()
    assert (int(uid) in OWN_USERS, umask) == (True, b"0022")
    assert not Path(f"/proc/{int(left)}").exists()
    assert not Path(f"/proc/{int(double)}").exists()
    assert {file.name for file in finished.files} == {"left", "double"}
    assert list(site.work.iterdir()) == []


@ROOT_ONLY
@pytest.mark.root
def test_what_a_killed_worker_left_is_swept_by_the_next_one(site: Site) -> None:
    run = (
        "mkdir shut; touch shut/file; chmod 0 shut\n"
        "(setsid sh -c 'echo $$ > left; exec sleep 600' &)\n"
        "while [ ! -s left ]; do sleep 0.02; done; cp left up; exec sleep 600"
    )
    site.submit(Task("/bin/sh", arguments=("-c", run)))
    killed = site.start(0, THYME_URL_FILE=str(site.url_file))
    (up,) = wait_until(lambda: list(site.work.glob("thyme_0/dir_*/up")), "the job")
    left = int(wait_until(up.read_text, "its word"))
    killed.kill()
    killed.communicate()
    site.submit(Task("/bin/pwd"))

    finished = site.result(site.start(0, THYME_URL_FILE=str(site.url_file)))

    assert finished.stdout == f"{site.work}/thyme_0/dir_1\n".encode()
    assert list(site.work.iterdir()) == []
    wait_until(lambda: not Path(f"/proc/{left}").exists(), "what it left running to be gone")


@ROOT_ONLY
@pytest.mark.root
def test_two_capabilities_are_enough(site: Site) -> None:
    script = "echo x > out; mkdir shut; touch shut/file; chmod 0 shut; (setsid sleep 600 &); id -u"
    site.submit(Task("/bin/sh", arguments=("-c", script), files=(SandboxFile("in", b""),)))
    bare = "-all,+setuid,+setgid"
    worker = subprocess.Popen(
        [
            # as Plancton's container: no other right, not even over other users' files
            "setpriv", f"--bounding-set={bare}", "--inh-caps=-all", "--no-new-privs",
            sys.executable, "-c", WORKER, "0", str(site.broker_file), "--workdir", str(site.work),
        ],
        env={"PATH": "/usr/bin:/bin", "THYME_URL_FILE": str(site.url_file)},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    site.started.append(worker)

    finished = site.result(worker)

    assert int(finished.stdout) in OWN_USERS
    assert [file.name for file in finished.files] == ["out"]
    assert list(site.work.iterdir()) == []


@ROOT_ONLY
@pytest.mark.root
def test_5_a_worker_that_is_root_without_the_capabilities_says_which(site: Site) -> None:
    worker = subprocess.run(
        [
            "setpriv", "--bounding-set=-all", "--inh-caps=-all",
            sys.executable, "-c", WORKER, "0", str(site.broker_file), "--workdir", str(site.work),
        ],
        env={"PATH": "/usr/bin:/bin", "THYME_URL_FILE": str(site.url_file)},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert worker.returncode == 5
    said = re.sub("60[6-9][0-9][0-9]", "60600", worker.stderr)
    assert said == (
        f"thyme-worker: cannot run jobs as user {FIRST_UID}: Operation not permitted; the worker "
        "needs the capabilities SETUID and SETGID (in Plancton's configuration: capabilities: "
        "[SETUID, SETGID]), or another --user\n"
    )


@ROOT_ONLY
@pytest.mark.root
def test_two_workers_at_once_give_their_jobs_different_users(site: Site) -> None:
    wait = "id -u; until [ -e go ]; do sleep 0.05; done"
    site.submit(*[Task("/bin/sh", arguments=("-c", wait))] * 2)
    workers = [site.start(0, THYME_URL_FILE=str(site.url_file)) for _ in range(2)]
    scratch = wait_until(
        lambda: (found := list(site.work.glob("thyme_*/dir_*/_condor_stdout"))) and len(found) == 2
        and all(each.read_bytes() for each in found) and found, "both jobs",
    )  # fmt: skip
    for each in scratch:
        (each.parent / "go").touch()

    for worker in workers:
        worker.communicate(timeout=60)
    users = {m.stdout.strip() for m in site.told() if isinstance(m, Finished)}

    assert len(users) == 2
    assert all(int(each) in OWN_USERS for each in users)


@ROOT_ONLY
@pytest.mark.root
def test_a_worker_elsewhere_on_the_machine_neither_ends_nor_shares_a_job(
    site: Site,
) -> None:
    other = Site()
    try:
        wait = "id -u; until [ -e go ]; do sleep 0.05; done"
        for each in (site, other):
            each.submit(Task("/bin/sh", arguments=("-c", wait)))
        first = site.start(0, THYME_URL_FILE=str(site.url_file))
        wait_until(lambda: said_in(site), "the first job")
        # it looks for what dead workers left, and both are thyme_0 in their directories
        second = other.start(0, THYME_URL_FILE=str(other.url_file))
        wait_until(lambda: said_in(other), "the second job")
        for each in (site, other):
            (said_in(each)[0].parent / "go").touch()
        ended = [site.result(first), other.result(second)]
    finally:
        other.close()

    assert [finished.exit_code for finished in ended] == [0, 0]
    assert len({finished.stdout for finished in ended}) == 2


def said_in(site: Site) -> list[Path]:
    """Where a job of this site said something."""
    return [each for each in site.work.glob("thyme_0/dir_*/_condor_stdout") if each.read_bytes()]


@ROOT_ONLY
@pytest.mark.root
@pytest.mark.parametrize(
    ("user", "said"),
    [("1234", "1234 1234"), ("1234:99", "1234 99"), ("nobody:daemon", "65534 1"), ("self", "0 0")],
)
def test_jobs_run_as_whom_they_are_asked_to(site: Site, user: str, said: str) -> None:
    site.submit(Task("/bin/sh", arguments=("-c", "echo $(id -u) $(id -g)")))

    finished = site.result(site.start(0, "--user", user, THYME_URL_FILE=str(site.url_file)))

    assert finished.stdout.decode().strip() == said


def test_6_a_user_that_is_not_there(site: Site) -> None:
    worker = site.start(os.geteuid(), "--user=no-such-user", THYME_URL_FILE=str(site.url_file))

    _out, said = worker.communicate(timeout=60)

    assert worker.returncode == 6
    assert said.splitlines()[-1] == (
        "thyme-worker: --user no-such-user: no such user or group here; "
        "a number need not be known here"
    )


@ROOT_ONLY
@pytest.mark.root
def test_6_only_root_runs_jobs_as_others(site: Site) -> None:
    worker = site.start(PLAIN, "--user=0", THYME_URL=f"amqp://w:{SECRET}@127.0.0.1/")

    _out, said = worker.communicate(timeout=60)

    assert worker.returncode == 6
    assert said == (
        "thyme-worker: --user 0: only a worker that is root runs jobs as another user\n"
    )


@ROOT_ONLY
@pytest.mark.root
def test_5_a_directory_that_the_jobs_user_cannot_reach(site: Site) -> None:
    site.path.chmod(0o700)

    worker = site.start(0, THYME_URL_FILE=str(site.url_file))
    _out, said = worker.communicate(timeout=60)

    assert worker.returncode == 5
    assert f"cannot make a scratch directory in {site.work}/thyme_0: [Errno 13] " in said
    assert re.sub("60[6-9][0-9][0-9]", "60600", said).endswith(
        f"; jobs run as user {FIRST_UID}, who must be able to pass through every directory above "
        "(use --workdir or --user)\n"
    )
    site.path.chmod(0o755)


def test_more_workers_than_there_are_users_for_their_jobs(site: Site) -> None:
    # somebody else's files, by these names, keep nobody from working but the last
    for number in range(AUTOMATIC):
        (site.work / f"thyme_{number}").touch()

    worker = site.start(os.geteuid(), "--user=self", THYME_URL=f"amqp://w:{SECRET}@127.0.0.1/")
    _out, said = worker.communicate(timeout=60)

    assert worker.returncode == 5
    assert f"cannot make a scratch directory in {site.work}: {AUTOMATIC} workers have" in said


@ROOT_ONLY
@pytest.mark.root
def test_a_job_that_kills_its_worker_of_the_same_user_is_left_to_its_lease(site: Site) -> None:
    site.submit(Task("/bin/sh", arguments=("-c", "kill -9 $PPID; sleep 600")))

    worker = site.start(PLAIN, THYME_URL=f"amqp://w:{SECRET}@127.0.0.1/")
    worker.communicate(timeout=60)

    assert worker.returncode == -signal.SIGKILL
    assert [m.kind for m in site.told()] == ["submit", "started"]
