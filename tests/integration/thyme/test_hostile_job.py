"""A job that attacks its worker: with a worker that is root, and with one that is not."""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hostile_site import OWN_USERS, PLAIN, SECRET, WORKER, HostileSite
from tests.support.waiting import wait_until
from thyme.protocol.events import Finished
from thyme.protocol.job import SandboxFile, Task
from thyme.worker.users import FIRST_UID

ATTACK = Path(__file__).parents[2] / "support" / "hostile_job.py"


def python_for_all() -> str:
    """Return a Python that any user can run: the one that runs this test may be in root's home."""
    for path in (sys.executable, "/usr/bin/python3"):
        real = Path(path).resolve()
        reached = [real, *real.parents] if os.geteuid() == 0 else []
        if real.exists() and all(each.stat().st_mode & 0o1 for each in reached):
            return str(real)
    pytest.skip("needs a Python that every user can run")


@pytest.fixture
def site() -> Iterator[HostileSite]:
    made = HostileSite()
    yield made
    made.close()


def attack(site: HostileSite, *paths: str) -> Task:
    program = SandboxFile("attack.py", ATTACK.read_bytes())
    arguments = ("attack.py", SECRET, *paths)
    return Task(python_for_all(), arguments=arguments, files=(program,))


#: What every job meets, on any worker.
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


@pytest.mark.root
@pytest.mark.parametrize("prefix", [(), FIRST_PROCESS], ids=["any process", "first process"])
def test_a_job_of_a_worker_that_is_root_gets_nothing(
    site: HostileSite, prefix: tuple[str, ...]
) -> None:
    others = site.work / "thyme_1/dir_other"
    others.mkdir(parents=True)
    others.parent.chmod(0o711)
    (others / "proxy").write_text("another job's")
    # the last one: what runs beside this test leaves the worker any of the first
    os.chown(others, OWN_USERS[-1], OWN_USERS[-1])
    others.chmod(0o700)
    setuid = site.path / "cat"
    shutil.copy("/bin/cat", setuid)
    setuid.chmod(0o4755)
    # its living owner keeps the other worker's place, also from being swept
    keeper = os.open(others.parent, os.O_RDONLY)
    fcntl.flock(keeper, fcntl.LOCK_EX)
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
        os.close(keeper)

    assert_contained(found)
    refused = {"url", "broker", "list workers", "list other", "proxy", "own work directory"}
    assert {name: found[name] for name in refused} == dict.fromkeys(refused, "EACCES")
    assert {found["signal"], found["all signals"]} == {"EPERM"}
    assert found["run setuid"] == ""
    assert found["bounding"] == "0" * 16
    assert_a_users_of_its_own(found["ids"])


@pytest.mark.root
def test_the_setuid_program_of_that_test_is_one(site: HostileSite) -> None:
    setuid = site.path / "cat"
    shutil.copy("/bin/cat", setuid)
    setuid.chmod(0o4755)

    read = subprocess.run(
        ["setpriv", f"--reuid={FIRST_UID}", f"--regid={FIRST_UID}", "--clear-groups", setuid,
         site.url_file], capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert SECRET in read.stdout, read.stderr


def test_a_job_of_a_worker_that_is_not_root_finds_no_secret_in_it(site: HostileSite) -> None:
    user = PLAIN if os.geteuid() == 0 else os.geteuid()
    site.submit(attack(site, "hosts=/etc/hosts"))
    worker = site.start(user, THYME_URL=f"amqp://worker:{SECRET}@127.0.0.1/")

    found = got(site.result(worker))

    assert_contained(found)
    ids = found["ids"]
    assert isinstance(ids, list)
    assert ids[:3] == [user] * 3


def test_a_url_file_that_jobs_can_read_is_pointed_out_once(site: HostileSite) -> None:
    user = PLAIN if os.geteuid() == 0 else os.geteuid()
    site.submit(Task("/bin/true"), Task("/bin/true"))

    worker = site.start(user, "--max-jobs=2", THYME_URL_FILE=str(site.url_file))
    _out, said = worker.communicate(timeout=60)

    assert worker.returncode == 0, said
    assert re.sub(r"^[0-9-]+ [0-9:,]+ ", "", said) == (
        "thyme-worker: jobs run as this worker's own user and can read the broker's password in "
        f"{site.url_file}; let the worker be root, or hand it the URL through a pipe "
        "(THYME_URL_FILE=/dev/fd/3)\n"
    )


def test_a_url_through_a_pipe_leaves_nothing_for_the_job(site: HostileSite) -> None:
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


@pytest.mark.root
def test_whatever_a_job_of_another_user_left_is_killed_and_removed(site: HostileSite) -> None:
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


@pytest.mark.root
def test_what_a_killed_worker_left_is_swept_by_the_next_one(site: HostileSite) -> None:
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

    assert finished.stdout.startswith(f"{site.work}/thyme_0/dir_".encode())
    assert list(site.work.iterdir()) == []
    wait_until(lambda: not Path(f"/proc/{left}").exists(), "what it left running to be gone")


@pytest.mark.root
def test_a_job_that_kills_its_worker_of_the_same_user_is_left_to_its_lease(
    site: HostileSite,
) -> None:
    site.submit(Task("/bin/sh", arguments=("-c", "kill -9 $PPID; exec sleep 600")))

    worker = site.start(PLAIN, THYME_URL=f"amqp://w:{SECRET}@127.0.0.1/")
    worker.communicate(timeout=60)

    assert worker.returncode == -signal.SIGKILL
    assert [m.kind for m in site.told()] == ["submit", "started"]
