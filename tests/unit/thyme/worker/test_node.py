"""What a worker finds out about its node: users for jobs, what it offers, what a job uses."""

import os
import pwd
import stat
import subprocess
from pathlib import Path

import pytest

from thyme.errors import BadInvocation, NodeUnfit
from thyme.worker import users
from thyme.worker.machine import count_cpus, describe_machine
from thyme.worker.memory_cgroup import MemoryCgroup
from thyme.worker.usage import (
    DirectorySize,
    ProcessTreeUsage,
    measure_file_system,
    read_process_usage,
)
from thyme.worker.users import FIRST_UID, JobUser, choose_job_user
from thyme.worker.work_directory import WorkDirectory

# --- users -----------------------------------------------------------------------------------


def test_jobs_of_root_get_a_user_for_each_worker() -> None:
    assert choose_job_user("", 0, euid=0) == JobUser(FIRST_UID, FIRST_UID, is_automatic=True)
    assert choose_job_user("", 7, euid=0) == JobUser(
        FIRST_UID + 7, FIRST_UID + 7, is_automatic=True
    )


def test_jobs_of_others_run_as_themselves() -> None:
    for option, euid in (("", 1000), ("self", 0), ("self", 1000), ("1000", 1000), ("0", 0)):
        assert choose_job_user(option, 3, euid).is_self


def test_a_user_is_known_by_name_or_number() -> None:
    root, nobody = pwd.getpwuid(0), pwd.getpwnam("nobody")

    assert choose_job_user("nobody", 0, euid=0) == JobUser(
        nobody.pw_uid, nobody.pw_gid, "nobody", nobody.pw_dir
    )
    # a number that no user has
    assert choose_job_user("4000000000", 0, euid=0) == JobUser(4000000000, 4000000000)
    assert choose_job_user("4000000000:17", 0, euid=0) == JobUser(4000000000, 17)
    assert choose_job_user("4000000000:root", 0, euid=0).gid == 0
    assert choose_job_user("self", 0, euid=0).home == root.pw_dir


@pytest.mark.parametrize("option", ["no-such-user", "0:no-such-group", "-1", "4294967295", ":"])
def test_a_user_that_is_not_there_is_refused(option: str) -> None:
    with pytest.raises(BadInvocation, match="no such user or group here; a number need not"):
        choose_job_user(option, 0, euid=0)


def test_a_user_without_an_entry_has_its_scratch_directory_for_a_home() -> None:
    assert JobUser(4242, 4242).variables("/scratch") == {"HOME": "/scratch"}
    assert JobUser(1, 1, "joe", "/home/joe").variables("/scratch") == {
        "HOME": "/home/joe", "USER": "joe", "LOGNAME": "joe",
    }  # fmt: skip


@pytest.mark.root
def test_acting_ends_with_its_block_whatever_happens() -> None:
    me = (os.getresuid(), os.getresgid(), os.getgroups())
    user = JobUser(4242, 4243)

    with pytest.raises(ZeroDivisionError), user.acting(), user.acting():
        assert (os.geteuid(), os.getegid(), os.getgroups()) == (4242, 4243, [])
        # an attacker would look at these
        assert (os.getuid(), os.getresuid()[2]) == (0, 0)
        _ = 1 // 0

    assert (os.getresuid(), os.getresgid(), os.getgroups()) == me


# --- dens ------------------------------------------------------------------------------------


def make_directory(workdir: Path) -> WorkDirectory:
    return WorkDirectory(workdir, lambda number: choose_job_user("self", number, os.geteuid()))


def test_each_living_worker_has_a_den_of_its_own_and_the_lowest_free_one(tmp_path: Path) -> None:
    first, second = make_directory(tmp_path), make_directory(tmp_path)
    assert (first.path.name, second.path.name) == ("thyme_0", "thyme_1")
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o711

    first.close()
    third = make_directory(tmp_path)

    assert third.path.name == "thyme_0"
    for each in (second, third, third):
        each.close()
    assert list(tmp_path.iterdir()) == []


def test_the_dens_of_the_dead_are_swept_and_nothing_else_is_touched(tmp_path: Path) -> None:
    dead = tmp_path / "thyme_5/dir_1/deep"
    dead.mkdir(parents=True)
    (dead / "file").touch()
    dead.chmod(0)
    for kept in ("dir_1", "thyme_7.txt", "thyme_9"):
        (tmp_path / kept).mkdir()
    (tmp_path / "thyme_9/mine").touch()
    living = make_directory(tmp_path)
    (living.path / "dir_1").mkdir()

    newcomer = make_directory(tmp_path)

    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "dir_1", "thyme_0", "thyme_1", "thyme_9",
    ]  # fmt: skip
    assert (tmp_path / "thyme_9/mine").exists()
    assert (living.path / "dir_1").exists()
    for each in (newcomer, living):
        each.close()


def test_a_link_in_the_place_of_a_den_leads_nowhere(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (target / "dir_1").mkdir(parents=True)
    work = tmp_path / "work"
    work.mkdir()
    (work / "thyme_0").symlink_to(target)

    mine = make_directory(work)

    assert mine.path.name == "thyme_1"
    assert (target / "dir_1").exists()
    mine.close()


def test_a_den_that_cannot_be_had_says_why(tmp_path: Path) -> None:
    with pytest.raises(NodeUnfit, match=r"a scratch directory in /.*/none: \[Errno 2\]"):
        make_directory(tmp_path / "none")


# --- what a node offers ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ({"cpu.max": "400000 100000\n"}, 4),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({}, 1),
    ],
)
def test_a_pilot_offers_the_cpus_that_it_may_use(
    tmp_path: Path, files: dict[str, str], count: int
) -> None:
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    assert count_cpus(tmp_path) == count


def test_a_node_tells_what_it_has(tmp_path: Path) -> None:
    found = describe_machine(tmp_path, MemoryCgroup())

    assert found is not None
    assert found.cpus >= 1
    assert found.opsys == "LINUX"
    assert found.memory > 16
    assert found.disk > 1024
    assert found.opsys_and_ver
    assert describe_machine(tmp_path / "none", MemoryCgroup()) is None


def test_a_pilots_limit_is_all_the_memory_it_offers(tmp_path: Path) -> None:
    (tmp_path / "groups").write_text("0::/")
    (tmp_path / "memory.events").write_text("oom 0\noom_kill 0\n")
    (tmp_path / "memory.max").write_text(str(48 * 1024 * 1024))

    found = describe_machine(tmp_path, MemoryCgroup(tmp_path / "groups", tmp_path))

    assert found is not None
    assert found.memory == 48


# --- what a job uses -------------------------------------------------------------------------


def process(proc: Path, pid: int, ticks: tuple[int, ...], **sizes: int) -> None:
    place = proc / str(pid)
    place.mkdir()
    zeros = " ".join("0" * 10)
    times = " ".join(map(str, ticks))
    # a name may hold anything
    (place / "stat").write_text(f"{pid} (a) S 9 (b\n) S {zeros} {times} 20 0 1 0\n")
    lines = [f"{name}:\t{size:8} kB" for name, size in sizes.items()]
    (place / "status").write_text("\n".join(["Name:\ta b", "Threads:\t3", *lines]))


def test_a_jobs_processes_are_added_up_without_counting_what_they_share(tmp_path: Path) -> None:
    tick = os.sysconf("SC_CLK_TCK")
    process(tmp_path, 1, (2 * tick, tick, tick, 0), VmHWM=900, RssAnon=100, RssFile=50, RssShmem=7)
    process(tmp_path, 2, (tick, 0, 0, tick), VmHWM=400, RssAnon=300, RssFile=60, RssShmem=5)
    process(tmp_path, 3, (0, 0, 0, 0), VmHWM=70, VmRSS=60)  # a kernel that tells no kinds
    (tmp_path / "4").mkdir()  # it has just ended
    process(tmp_path, 5, (0, 0, 0, 0))  # a zombie

    reading = read_process_usage([1, 2, 3, 4, 5, 6], tmp_path)

    assert reading == ProcessTreeUsage(
        user_cpu=4, system_cpu=2, rss=100 + 300 + 60 + 60 + 7, largest=900
    )


def test_a_scratch_directory_is_counted_bit_by_bit(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"d{number}").mkdir()
        (tmp_path / f"d{number}/file").write_bytes(b"x" * 8192)
    disk = DirectorySize(tmp_path)

    disk.count(59)
    assert disk.size == 0  # not known yet
    assert 15 * 8 <= disk.least < 30 * 8 + 30 * 4, "but something is"
    disk.count(59)
    first = disk.size
    assert disk.least == first
    assert first >= 30 * 8
    (tmp_path / "d0/more").write_bytes(b"x" * 65536)
    disk.count(1000)

    assert disk.size >= first + 64


def test_the_room_of_a_file_system_is_known_or_none(tmp_path: Path) -> None:
    found = measure_file_system(tmp_path)
    assert found is not None
    free, total = found
    said = subprocess.run(["df", "-k", "--output=size", tmp_path], capture_output=True, check=True)
    assert 0 <= free <= total == int(said.stdout.split()[-1])
    assert measure_file_system(tmp_path / "none") is None


def test_a_directory_that_is_gone_uses_nothing(tmp_path: Path) -> None:
    disk = DirectorySize(tmp_path / "none")
    disk.count(10)
    assert disk.size == 0


def test_the_users_of_jobs_overlap_no_other_range_of_user_ids() -> None:
    taken = {entry.pw_uid for entry in pwd.getpwall()}
    assert not taken & set(range(FIRST_UID, FIRST_UID + users.AUTOMATIC_USERS))
