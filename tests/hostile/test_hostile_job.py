"""Whatever a job does to the worker run as root that runs it, the others' jobs run as before.

Two nodes with a worker each: one of them runs Mallory's job, the other one the honest user's. After
the attack both workers are the same processes, nothing of the job is left, and both run jobs. What
a job finds out about its worker is in tests/integration/thyme/test_hostile_job.py.
"""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.honest_user import HonestUser
from tests.support.hostile_site import OWN_USERS
from tests.support.schedd_process import ROOT, LiveSchedd
from tests.support.waiting import wait_until
from thyme.worker.sandbox import JOB_AD, MACHINE_AD, STDERR, STDOUT

pytestmark = pytest.mark.root
#: daemon and nobody
HONEST, MALLORY = 1, 65534
DISK = 64 * 1024 * 1024
#: Bytes of memory that a worker may have.
MAX_RSS = 300 * 1024 * 1024
SECRET = "the honest user's proxy"  # noqa: S105


class Node:
    """A worker that is root, with a small disk of its own."""

    def __init__(self, schedd: LiveSchedd, place: Path) -> None:
        self.work, self.log = place / "work", place / "worker.log"
        self.work.mkdir(parents=True)
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=755", "tmpfs", self.work], check=True
        )
        with self.log.open("ab") as log:
            self.worker = subprocess.Popen(
                [
                    sys.executable, "-m", "thyme.worker.cli", "--workdir", str(self.work),
                    "--timeout", "600", "--heartbeat", "0.5", "--max-jobs", "0",
                ],
                cwd=ROOT, env=schedd.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def describe(self) -> str:
        """Return the worker's log, its processes, and what is in the scratch directories."""
        commands = (
            ["ps", "--ppid", str(self.worker.pid), "-o", "pid,user,stat,wchan,etimes,args"],
            ["find", str(self.work), "-ls"],
        )
        said = [subprocess.run(c, capture_output=True, text=True, check=False) for c in commands]
        waits = Path(f"/proc/{self.worker.pid}/wchan").read_text()
        return "\n".join([self.log.read_text(), waits, *(each.stdout[:9000] for each in said)])

    def scratch(self) -> list[Path]:
        """List the scratch directories that are in use, and whatever else is beside them.

        Not the one that the worker keeps for its next job, with its own files, which are empty.
        """
        own = {STDOUT, STDERR, JOB_AD, MACHINE_AD}

        def is_kept(path: Path) -> bool:
            try:
                return all(file.name in own and not file.lstat().st_size for file in path.iterdir())
            except OSError:  # no directory, or gone meanwhile
                return False

        found = [path for path in self.work.glob("*/*") if path.exists()]
        kept = [path for path in found if is_kept(path)]
        return found if len(kept) > 1 else [path for path in found if path not in kept]

    def check(self) -> None:
        said = self.log.read_text()
        assert self.worker.poll() is None, said
        assert "Traceback" not in said
        status = Path(f"/proc/{self.worker.pid}/status").read_text()
        assert int(status.partition("VmRSS:")[2].split()[0]) * 1024 < MAX_RSS

    def close(self) -> None:
        self.worker.kill()
        self.worker.wait(20)
        subprocess.run(["umount", "-l", self.work], check=True)


class Site:
    """A schedd, two nodes, an honest user and Mallory."""

    def __init__(self, top: Path) -> None:
        self.schedd = LiveSchedd(top / "schedd")
        self.schedd.options = ["--lease", "60"]
        self.schedd.home.chmod(0o777)
        self.schedd.start()
        self.nodes = [Node(self.schedd, top / f"node{number}") for number in range(2)]
        self.honest = HonestUser(self.schedd, HONEST)
        self.honest.measure_quiet()
        self.top = top
        self.place = top / "mallory"

    def clear(self) -> None:
        if self.place.exists():
            shutil.rmtree(self.place)
        self.place.mkdir()
        os.chown(self.place, MALLORY, MALLORY)

    def attack(self, script: str, *lines: str) -> int:
        """Let Mallory submit a job that runs a shell script; the cluster."""
        program = self.place / "attack.sh"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        text = "\n".join([f"executable = {program}", "output = out", "log = log", *lines, "queue"])
        return self.schedd.submit(text, uid=MALLORY, cwd=self.place)

    def ask(self, cluster: int, *attributes: str) -> str:
        for command in ("condor_q", "condor_history"):
            done = self.schedd.run(command, str(cluster), "-af", *attributes)
            if done.stdout.strip():
                return done.stdout.strip()
        return ""

    def wait_for(self, cluster: int, *statuses: str) -> str:
        return wait_until(
            lambda: status if (status := self.ask(cluster, "JobStatus")) in statuses else "",
            f"job {cluster} to be in state {statuses}",
            120.0,
            state=lambda: (
                self.ask(cluster, "JobStatus"),
                *(n.log.read_text() for n in self.nodes),
            ),
        )

    def wait_for_output(self, cluster: int, name: str) -> Path:
        """Wait until the running job has made a file of this name."""
        found = wait_until(
            lambda: [path for node in self.nodes for path in node.work.glob(f"*/*/{name}")],
            f"{name} of job {cluster}",
            state=lambda: self.ask(cluster, "JobStatus", "HoldReason"),
        )
        return found[0]

    def remove(self, cluster: int) -> None:
        self.schedd.run("condor_rm", str(cluster), uid=MALLORY)

    def read_delivered(self) -> str:
        """Return all that Mallory's job brought back."""
        files = [path for path in self.place.rglob("*") if path.is_file()]
        return "\n".join(path.read_text(errors="replace") for path in files)


@pytest.fixture(scope="module")
def module_site() -> Iterator[Site]:
    # not /tmp: jobs do not see it
    top = Path(tempfile.mkdtemp(prefix="thyme-mallory-", dir="/srv"))
    top.chmod(0o755)
    made = Site(top)
    yield made
    for node in made.nodes:
        node.close()
    made.schedd.close()
    shutil.rmtree(top)


def processes_of_jobs() -> dict[int, str]:
    """Return the processes of users that workers here choose for their jobs."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "status").read_text(errors="replace")
                if int(status.split("\nUid:")[1].split()[0]) in OWN_USERS:
                    found[int(entry.name)] = (entry / "cmdline").read_text(errors="replace")
            except (OSError, IndexError):
                continue
    return found


@pytest.fixture
def site(module_site: Site) -> Iterator[Site]:
    module_site.clear()
    before = processes_of_jobs()
    yield module_site
    module_site.schedd.run("condor_rm", "nobody")
    for node in module_site.nodes:
        wait_until(
            lambda node=node: not node.scratch(), "an empty node", 120,
            state=node.describe,
        )  # fmt: skip
        node.check()
    process = module_site.schedd.process
    assert process is not None and process.poll() is None, module_site.schedd.said()
    wait_until(
        lambda: not set(processes_of_jobs()) - set(before), "no process of the job is left",
        state=processes_of_jobs,
    )  # fmt: skip
    module_site.honest.settle()
    # both nodes go on
    text = "executable = /bin/sleep\ntransfer_executable = false\narguments = 1\nqueue 4"
    cluster = module_site.schedd.submit(text, uid=HONEST)
    hosts = set(wait_until(
        lambda: found if len(found := ended_on(module_site, cluster)) == 4 else [], "4 more jobs"
    ))  # fmt: skip

    def have_both_run() -> bool:  # one of them may have been slow
        if len(hosts) < 2:
            more = module_site.schedd.submit(text, uid=HONEST)
            hosts.update(wait_until(lambda: ended_on(module_site, more), "yet more jobs"))
        return len(hosts) == 2

    wait_until(have_both_run, "jobs on both nodes", 120)


def limit_processes(most: int) -> str:
    """Return the command that lets a job's user have so many: the other tests need some, too.

    Debian's ``sh`` has no ``ulimit -u``.
    """
    return f"prlimit --nproc={most} --pid $$"


def ended_on(site: Site, cluster: int) -> list[str]:
    asked = ("-constraint", f"ClusterId == {cluster} && JobStatus == 4", "-af", "LastRemoteHost")
    return site.schedd.run("condor_history", *asked).stdout.split("\n")[:-1]


def test_processes_without_end_that_no_signal_ends(site: Site) -> None:
    cluster = site.attack(
        f"{limit_processes(300)}; echo begun > begun; trap '' TERM HUP INT\n"
        "f() { setsid sh -c 'trap \"\" TERM HUP INT; sleep 600' & }\n"
        # a shell that can start nothing more ends
        "while :; do f; done 2> /dev/null &\n"
        "exec sleep 600"
    )
    site.wait_for_output(cluster, "begun")
    site.honest.check()
    site.remove(cluster)
    site.wait_for(cluster, "3")


def test_chains_of_processes_that_live_for_a_moment(site: Site) -> None:
    cluster = site.attack(
        # a worker that gets no CPU for long leaves many that have ended
        f"{limit_processes(20_000)}; echo begun > begun\n"
        "echo 'sh ./chain & exit' > chain; for i in 1 2 3 4 5 6; do sh ./chain & done; sleep 2"
    )
    site.wait_for_output(cluster, "begun")
    site.honest.check()
    site.wait_for(cluster, "4", "5")


def test_a_disk_that_is_full(site: Site) -> None:
    cluster = site.attack("yes > big; yes; echo begun > begun; touch begun; sleep 600")
    full = site.wait_for_output(cluster, "begun")
    wait_until(lambda: os.statvfs(full).f_bavail == 0, "the disk to be full")
    site.honest.check()
    site.remove(cluster)
    site.wait_for(cluster, "3")


def test_a_disk_that_is_filled_beyond_what_was_requested(site: Site) -> None:
    cluster = site.attack(
        "echo begun > begun; until [ -e go ]; do sleep 0.1; done\n"
        "dd if=/dev/zero of=big bs=1M count=62; sleep 600",
        "request_disk = 2M",
    )
    begun = site.wait_for_output(cluster, "begun")
    site.honest.check()
    begun.with_name("go").touch()
    site.wait_for(cluster, "5")
    assert site.ask(cluster, "HoldReasonCode", "HoldReasonSubCode", "HoldReason") == (
        "34 104 Job has exceeded allocated disk (2.00 MB). Consider increasing the value of "
        "request_disk."
    )
    site.remove(cluster)


def test_a_disk_full_of_what_is_to_be_brought_back(site: Site) -> None:
    cluster = site.attack("yes > big; cp big big2; yes")
    site.honest.check()
    site.wait_for(cluster, "4", "5")


def test_a_hundred_thousand_files(site: Site) -> None:
    cluster = site.attack(
        "echo > begun; i=0; while [ $i -lt 100000 ]; do : > file$i; i=$((i+1)); done; sleep 1"
    )
    site.wait_for_output(cluster, "begun")
    site.honest.check()
    status = site.wait_for(cluster, "4", "5")
    site.honest.check()
    if status == "5":
        assert site.ask(cluster, "HoldReasonCode") in ("12", "13")


def test_a_hundred_thousand_files_that_nobody_wants(site: Site) -> None:
    cluster = site.attack(
        "mkdir d; cd d; i=0; while [ $i -lt 100000 ]; do : > file$i; i=$((i+1)); done",
        'transfer_output_files = ""',
    )
    site.honest.check()
    site.wait_for(cluster, "4")


def test_directories_deeper_than_a_path_can_be_long(site: Site) -> None:
    cluster = site.attack(
        "i=0; while [ $i -lt 3000 ]; do mkdir deeper && cd deeper; i=$((i+1)); done; chmod 0 ."
    )
    site.honest.check()
    site.wait_for(cluster, "4", "5")


@pytest.mark.parametrize("named", [False, True], ids=["what is new", "what is named"])
def test_links_and_pipes_instead_of_outputs(site: Site, named: bool) -> None:
    (site.schedd.url_file.parent / "other").write_text(SECRET)
    names = ["shadow", "url", "up", "pipe", "hard", "inner", "loop", "null"]
    cluster = site.attack(
        f"ln -s /etc/shadow shadow; ln -s {site.schedd.url_file} url; ln -s .. up; mkfifo pipe\n"
        f"ln -s /proc/1/environ inner; ln -s loop loop; ln -s /dev/zero null\n"
        "ln /etc/shadow hard 2> /dev/null || echo nothing > hard\n"
        "rm _condor_stdout; ln -s /etc/shadow _condor_stdout; mkdir d; ln -s /etc d/etc\n"
        "rm -f .job.ad; ln -s /etc/shadow .job.ad",
        *([f"transfer_output_files = {', '.join([*names, 'd'])}"] if named else []),
    )
    site.honest.check()
    assert site.wait_for(cluster, "4", "5") == ("5" if named else "4")
    delivered = site.read_delivered()
    for secret in ("root:", "sqlite://", SECRET, "THYME"):
        assert secret not in delivered
    assert not [path for path in site.place.rglob("*") if path.is_symlink()]


def test_setuid_programs_left_everywhere(site: Site) -> None:
    where = ["/tmp", "/var/tmp", "/dev/shm", "."]
    cluster = site.attack(
        f"for d in {' '.join(where)}; do cp /bin/sh $d/mallory.$PPID; chmod 6777 $d/mallory.$PPID\n"
        "ls -l $d/mallory.$PPID; done; echo $PPID > pid; cp pid /tmp/",
    )
    site.honest.check()
    site.wait_for(cluster, "4")
    pid = (site.place / "pid").read_text().strip()
    assert (site.place / "out").read_text().count("mallory.") == 4, "it could write there"
    for directory in where[:3]:
        assert not Path(directory, f"mallory.{pid}").exists()
    (brought,) = site.place.glob("mallory.*")
    assert stat.S_IMODE(brought.stat().st_mode) & 0o7000 == 0
    assert brought.stat().st_uid == MALLORY


def test_signals_to_everybody(site: Site) -> None:
    cluster = site.attack(
        "setsid sh -c 'while :; do kill -STOP $PPID -1; kill -9 1; done' 2> /dev/null &\n"
        "kill -STOP $PPID; kill -9 $PPID; kill -TERM -$PPID; kill -9 -1; sleep 600"
    )
    site.honest.check()
    site.remove(cluster)  # it has stopped itself, too
    site.wait_for(cluster, "3")


#: Tries to take over, and to look into, whatever scratch directory there is.
TAKE_OVER = """
import os, sys, time
found, made = set(), 0
print("begun", flush=True)
until = time.monotonic() + float(sys.argv[1])
while time.monotonic() < until:
    for work in sys.argv[2:]:
        for place in os.listdir(work):
            place = os.path.join(work, place)
            names = set()
            try:
                names = set(os.listdir(place))
            except OSError:
                pass
            try:
                os.mkdir(os.path.join(place, "dir_mallory"))
                made += 1
            except OSError:
                pass
            for name in names | {"dir_1", "dir_2", "dir_mallory"}:
                for step in (lambda: os.rename(os.path.join(place, name), os.path.join(place, "x")),
                             lambda: os.symlink("/etc", os.path.join(place, name))):
                    try:
                        step()
                    except OSError:
                        pass
                try:
                    for each in os.listdir(os.path.join(place, name)):
                        with open(os.path.join(place, name, each), "rb") as file:
                            found.add(file.read(100))
                except OSError:
                    pass
print(made, found)
"""


def test_a_local_user_who_takes_over_scratch_directories(site: Site) -> None:
    attack = subprocess.Popen(
        ["setpriv", f"--reuid={MALLORY}", f"--regid={MALLORY}", "--clear-groups",
         "/usr/bin/python3", "-c", TAKE_OVER, "10", *(str(node.work) for node in site.nodes)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert attack.stdout is not None
    assert attack.stdout.readline() == "begun\n"
    home = site.schedd.home
    (home / "proxy").write_text(SECRET)
    (home / "proxy").chmod(0o600)
    os.chown(home / "proxy", HONEST, HONEST)
    text = (
        "executable = /bin/sh\ntransfer_executable = false\n"
        "arguments = \"-c 'stat -c %u:%a proxy .; cat proxy'\"\n"
        "transfer_input_files = proxy\noutput = proxy.$(ProcId)\nqueue 30"
    )
    cluster = site.schedd.submit(text, uid=HONEST)
    site.honest.check("submit", "query")
    wait_until(lambda: len(ended_on(site, cluster)) == 30, "30 honest jobs", 120)
    said, _errors = attack.communicate(timeout=60)
    made, _space, found = said.partition(" ")
    assert SECRET not in found
    assert made.isdigit()
    for number in range(30):
        lines = (home / f"proxy.{number}").read_text().split("\n")
        file, directory = (line.split(":") for line in lines[:2])
        assert file[0] == directory[0] and int(file[0]) in OWN_USERS
        assert file[1] == "600" and directory[1] == "700"
        assert lines[2] == SECRET

    def others() -> list[Path]:
        his = ("dir_mallory", "dir_1", "dir_2", "x")
        every = [path for node in site.nodes for path in node.work.glob("*/*")]
        return [path for path in every if path.name not in his]

    # a scratch directory is removed after its job's end is reported
    wait_until(lambda: not others(), "nothing but what he made himself", state=others)
    for node in site.nodes:
        for path in node.work.glob("*/*"):
            assert path.lstat().st_uid == MALLORY
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
