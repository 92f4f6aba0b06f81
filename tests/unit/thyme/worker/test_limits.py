"""Why a job is ended for what it takes, and what the control group says of its memory."""

from pathlib import Path

import pytest

from thyme.protocol.events import HoldReason, Usage
from thyme.protocol.job import Task
from thyme.worker.executor import ExecutionResult
from thyme.worker.limits import (
    NODE_WITHOUT_MEMORY,
    explain_memory_kill,
    find_exceeded_disk,
    find_exceeded_limit,
    get_requested_disk,
    seconds_until_limit,
)
from thyme.worker.memory_cgroup import CgroupMemory, MemoryCgroup

DAY = 86400.0


def task(job: float = 0.0, execute: float = 0.0) -> Task:
    return Task("x", allowed_job_duration=job, allowed_execute_duration=execute)


# --- time ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "attempt", "program", "code", "text"),
    [
        (task(job=60), 60, 50, 46, "The job exceeded allowed job duration of 01:00"),
        (task(execute=60), 70, 60, 47, "The job exceeded allowed execute duration of 01:00"),
        (task(job=60, execute=60), 70, 70, 46, "The job exceeded allowed job duration of 01:00"),
        (task(execute=72e3), DAY, DAY, 47, "The job exceeded allowed execute duration of 20:00:00"),
        (task(execute=3 * DAY), 1e9, 1e9, 47,
         "The job exceeded allowed execute duration of 3+00:00:00"),
        (task(execute=3 * DAY + 7200.5), 1e9, 1e9, 47,
         "The job exceeded allowed execute duration of 3+02:00:00"),
    ],
)  # fmt: skip
def test_who_stays_too_long_is_held_with_htcondors_code_and_text(
    asked: Task, attempt: float, program: float, code: int, text: str
) -> None:
    assert find_exceeded_limit(asked, attempt, program) == HoldReason(code, 0, text)
    assert seconds_until_limit(asked, attempt, program) == 0


@pytest.mark.parametrize(
    ("asked", "left"),
    [(task(), float("inf")), (task(job=60), 10), (task(execute=60), 30), (task(90, 60), 30)],
)
def test_until_then_it_may_run(asked: Task, left: float) -> None:
    assert find_exceeded_limit(asked, 50, 30) is None
    assert seconds_until_limit(asked, 50, 30) == left


# --- disk ------------------------------------------------------------------------------------

GIB = 1024 * 1024


@pytest.mark.parametrize(
    ("text", "requested"),
    [("2048", 2048), ("0", 0), ("", GIB), ("DiskUsage", GIB), ("-1", GIB), ("9" * 30, GIB)],
)
def test_what_a_job_requests_of_the_disk(text: str, requested: int) -> None:
    assert get_requested_disk({"RequestDisk": text} if text else {}) == requested


@pytest.mark.parametrize(
    ("requested", "text"),
    [(GIB, "1.00 GB"), (5 * GIB // 2, "2.50 GB"), (1500, "1.46 MB"), (4, "4.00 KB"), (0, "0 B")],
)
def test_who_fills_a_disk_beyond_his_request_is_held_as_by_htcondor(
    requested: int, text: str
) -> None:
    assert find_exceeded_disk(requested, requested + 1, 4 * GIB, 100 * GIB) == HoldReason(
        34, 104, f"Job has exceeded allocated disk ({text}). "
        "Consider increasing the value of request_disk.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("used", "free", "total"),
    [(GIB, 0, 100 * GIB), (90 * GIB, 5 * GIB, 100 * GIB), (900 * GIB, 10 * GIB, 1000 * GIB)],
    ids=["as requested", "enough is left", "of a large disk"],
)
def test_nobody_is_held_for_a_disk_that_suffices(used: int, free: int, total: int) -> None:
    assert find_exceeded_disk(GIB, used, free, total) is None


# --- memory ----------------------------------------------------------------------------------

QUIET = CgroupMemory(kills=2, hits=5, limit=64 * 1024)


def ended(exit_code: int | None = None, signal: int | None = None) -> ExecutionResult:
    return ExecutionResult(exit_code, signal, Usage(peak_rss=63 * 1024))


@pytest.mark.parametrize("outcome", [ended(signal=9), ended(exit_code=137)])
def test_a_job_that_the_kernel_killed_at_its_pilots_limit_is_held(outcome: ExecutionResult) -> None:
    assert explain_memory_kill(
        QUIET, CgroupMemory(3, 6, 64 * 1024), outcome, "slot1_7@node"
    ) == HoldReason(
        34,
        102,
        "Error from slot1_7@node: Job has gone over cgroup memory limit of 64 megabytes. Last "
        "measured usage: 63 megabytes.  Consider resubmitting with a higher request_memory.",
    )


def test_a_job_that_the_kernel_killed_for_others_sake_goes_back() -> None:
    for after in (CgroupMemory(3, 5, 64 * 1024), CgroupMemory(3, 5, None)):
        assert explain_memory_kill(QUIET, after, ended(signal=9), "s") == NODE_WITHOUT_MEMORY


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        (QUIET, QUIET, ended(signal=9)),  # killed by somebody else
        (QUIET, CgroupMemory(3, 6, 64 * 1024), ended(exit_code=0)),  # it got over it
        (QUIET, CgroupMemory(3, 6, 64 * 1024), ended(exit_code=1)),
        (QUIET, CgroupMemory(3, 6, 64 * 1024), ended(signal=11)),
        (QUIET, None, ended(signal=9)),  # nobody knows
        (None, QUIET, ended(signal=9)),
    ],
)
def test_any_other_end_is_the_jobs_own(
    before: CgroupMemory | None, after: CgroupMemory | None, outcome: ExecutionResult
) -> None:
    assert explain_memory_kill(before, after, outcome, "s") == ""


def group(tmp_path: Path, line: str, where: str, **files: str) -> CgroupMemory | None:
    (tmp_path / "cgroup").write_text(line)
    place = tmp_path / "fs" / where
    place.mkdir(parents=True)
    for name, text in files.items():
        (place / name.replace("__", ".")).write_text(text)
    return MemoryCgroup(tmp_path / "cgroup", tmp_path / "fs").read()


V2 = {
    "memory__events": "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n",
    "memory__max": "65536000\n",
}
V1 = {
    "memory__oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "memory__limit_in_bytes": "65536000\n",
    "memory__max_usage_in_bytes": "65000000\n",
}


@pytest.mark.parametrize(
    ("line", "where"), [("0::/\n", ""), ("0::/plancton/p1\n", "plancton/p1"), ("0::/gone\n", "")]
)
def test_version_2_is_read_with_and_without_a_namespace(
    tmp_path: Path, line: str, where: str
) -> None:
    assert group(tmp_path, line, where, **V2) == CgroupMemory(2, 3, 64000)


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("9:memory:/\n0::/\n", "memory"),
        ("0::/x\n4:cpu,cpuacct:/y\n9:memory:/docker/ab\n", "memory/docker/ab"),
        ("9:memory:/docker/ab\n", "memory"),  # a container without a namespace
    ],
)
def test_version_1_is_read_with_and_without_a_namespace(
    tmp_path: Path, line: str, where: str
) -> None:
    assert group(tmp_path, line, where, **V1) == CgroupMemory(2, 2, 64000)


def test_version_1_tells_a_limit_that_was_never_met_from_one_that_was(tmp_path: Path) -> None:
    files = {**V1, "memory__max_usage_in_bytes": "50000000"}
    assert group(tmp_path, "9:memory:/", "memory", **files) == CgroupMemory(2, 0, 64000)


def test_no_limit_is_none(tmp_path: Path) -> None:
    two, one = tmp_path / "two", tmp_path / "one"
    two.mkdir()
    one.mkdir()
    assert group(two, "0::/", "", **{**V2, "memory__max": "max\n"}) == CgroupMemory(2, 3, None)
    none = {**V1, "memory__limit_in_bytes": "9223372036854771712"}
    assert group(one, "9:memory:/", "memory", **none) == CgroupMemory(2, 0, None)


@pytest.mark.parametrize("files", [{}, {"memory__events": "low 0\n", "memory__max": "max"}])
def test_what_cannot_be_read_is_not_zero(tmp_path: Path, files: dict[str, str]) -> None:
    assert group(tmp_path, "0::/", "", **files) is None
    assert MemoryCgroup(tmp_path / "nowhere").read() is None
