"""As which user jobs run, what a worker needs for it, and that no two jobs share one."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hostile_site import OWN_USERS, PLAIN, SECRET, WORKER, HostileSite
from tests.support.waiting import wait_until
from thyme.protocol.events import Finished
from thyme.protocol.job import SandboxFile, Task
from thyme.worker.users import AUTOMATIC_USERS, FIRST_UID


@pytest.fixture
def site() -> Iterator[HostileSite]:
    made = HostileSite()
    yield made
    made.close()


@pytest.mark.root
def test_two_capabilities_are_enough(site: HostileSite) -> None:
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


@pytest.mark.root
def test_5_a_worker_that_is_root_without_the_capabilities_says_which(site: HostileSite) -> None:
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


@pytest.mark.root
def test_two_workers_at_once_give_their_jobs_different_users(site: HostileSite) -> None:
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


@pytest.mark.root
def test_a_worker_elsewhere_on_the_machine_neither_ends_nor_shares_a_job(
    site: HostileSite,
) -> None:
    other = HostileSite()
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


def said_in(site: HostileSite) -> list[Path]:
    """Where a job of this site said something."""
    return [each for each in site.work.glob("thyme_0/dir_*/_condor_stdout") if each.read_bytes()]


@pytest.mark.root
@pytest.mark.parametrize(
    ("user", "said"),
    [("1234", "1234 1234"), ("1234:99", "1234 99"), ("nobody:daemon", "65534 1"), ("self", "0 0")],
)
def test_jobs_run_as_whom_they_are_asked_to(site: HostileSite, user: str, said: str) -> None:
    site.submit(Task("/bin/sh", arguments=("-c", "echo $(id -u) $(id -g)")))

    finished = site.result(site.start(0, "--user", user, THYME_URL_FILE=str(site.url_file)))

    assert finished.stdout.decode().strip() == said


def test_6_a_user_that_is_not_there(site: HostileSite) -> None:
    worker = site.start(os.geteuid(), "--user=no-such-user", THYME_URL_FILE=str(site.url_file))

    _out, said = worker.communicate(timeout=60)

    assert worker.returncode == 6
    assert said.splitlines()[-1] == (
        "thyme-worker: --user no-such-user: no such user or group here; "
        "a number need not be known here"
    )


@pytest.mark.root
def test_6_only_root_runs_jobs_as_others(site: HostileSite) -> None:
    worker = site.start(PLAIN, "--user=0", THYME_URL=f"amqp://w:{SECRET}@127.0.0.1/")

    _out, said = worker.communicate(timeout=60)

    assert worker.returncode == 6
    assert said == (
        "thyme-worker: --user 0: only a worker that is root runs jobs as another user\n"
    )


@pytest.mark.root
def test_5_a_directory_that_the_jobs_user_cannot_reach(site: HostileSite) -> None:
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


def test_more_workers_than_there_are_users_for_their_jobs(site: HostileSite) -> None:
    # somebody else's files, by these names, keep nobody from working but the last
    for number in range(AUTOMATIC_USERS):
        (site.work / f"thyme_{number}").touch()

    worker = site.start(os.geteuid(), "--user=self", THYME_URL=f"amqp://w:{SECRET}@127.0.0.1/")
    _out, said = worker.communicate(timeout=60)

    assert worker.returncode == 5
    assert f"cannot make a scratch directory in {site.work}: {AUTOMATIC_USERS} workers have" in said


#: Leaves a setuid program of its user and a file in every place that others may write into.
LEAVING = """
for place in /tmp /var/tmp /dev/shm; do
    ls -A $place | grep -v -e '^thyme' -e '^tmp' | head -3
    cp /bin/cat $place/{name} && chmod 4755 $place/{name}
done
ls -ld /tmp /var/tmp /dev/shm | cut -c1-10
grep -cE ' (/tmp|/var/tmp|/dev/shm) .*nosuid' /proc/self/mounts
pwd; echo x > out
"""


LEAVING_IN_THE_KERNEL = """
import ctypes
libc = ctypes.CDLL(None)
new = 0o1600  # IPC_CREAT, and its modes
print(libc.shmget(0, 1 << 20, new), libc.semget(0, 3, new), libc.msgget(0, new))
"""


@pytest.mark.root
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_job_leaves_no_memory_and_no_queues_in_the_kernel(site: HostileSite, jobs: int) -> None:
    """It took memory until the machine started again, and the next job could read it."""
    site.submit(*[Task("/usr/bin/python3", arguments=("-c", LEAVING_IN_THE_KERNEL))] * jobs)
    others = {kind: list_ipc_objects(kind) for kind in ("shm", "sem", "msg")}

    worker = site.start(0, f"--max-jobs={jobs}", THYME_URL_FILE=str(site.url_file))

    finished = site.result(worker)
    assert finished.exit_code == 0, finished
    assert "-1" not in finished.stdout.decode().splitlines()[0].split()
    assert {kind: list_ipc_objects(kind) for kind in others} == others


def list_ipc_objects(kind: str) -> list[list[str]]:
    lines = Path("/proc/sysvipc", kind).read_text().splitlines()[1:]
    return [line.split()[:3] for line in lines]


@pytest.mark.root
@pytest.mark.parametrize("place", ["", "/tmp", "/var/tmp"])
def test_a_job_finds_and_leaves_nothing_in_temporary_directories(
    site: HostileSite, place: str
) -> None:
    if subprocess.run(["unshare", "--mount", "true"]).returncode:
        pytest.skip("no mount namespaces here")
    name = f"left-{os.getpid()}"
    script = LEAVING.format(name=name)
    workdir = Path(tempfile.mkdtemp(dir=place)) if place else site.work
    workdir.chmod(0o755)
    try:
        site.submit(Task("/bin/sh", arguments=("-c", script)))
        worker = site.start(0, "--workdir", str(workdir), THYME_URL_FILE=str(site.url_file))
        finished = site.result(worker)
    finally:
        left = list(workdir.iterdir())
        shutil.rmtree(workdir)
    lines = finished.stdout.decode().splitlines()
    assert lines[:3] == ["drwxrwxrwt"] * 3, finished
    assert lines[3] == "3"
    assert lines[4].startswith(f"{workdir}/thyme_")
    assert [file.name for file in finished.files] == ["out"]
    assert left == []
    for directory in ("/tmp", "/var/tmp", "/dev/shm"):
        assert not (Path(directory) / name).exists()


@pytest.mark.root
def test_a_job_has_temporary_directories_of_its_own_also_after_one_that_could_not_start(
    site: HostileSite,
) -> None:
    if subprocess.run(["unshare", "--mount", "true"]).returncode:
        pytest.skip("no mount namespaces here")
    left = Path(f"/tmp/left-{os.getpid()}")
    site.submit(
        Task("/no/such/program"), Task("/bin/sh", arguments=("-c", f"touch {left}; echo ran"))
    )
    worker = site.start(0, "--max-jobs=2", THYME_URL_FILE=str(site.url_file))
    worker.communicate(timeout=60)
    try:
        ends = [each for each in site.told() if isinstance(each, Finished)]
        assert [each.stdout for each in ends] == [b"", b"ran\n"]
        assert not left.exists()
    finally:
        left.unlink(missing_ok=True)
