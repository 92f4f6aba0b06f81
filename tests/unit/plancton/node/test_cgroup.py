"""The control group of all pilots, on trees of files that look like those of a node."""

from __future__ import annotations

from pathlib import Path

import pytest

from plancton.node import cgroup
from plancton.node.cgroup import PilotGroup

CEILING = 10_000_000_123


@pytest.fixture
def v1(tmp_path: Path) -> Path:
    """Make the files of a group, as the kernel does when a group is made."""
    for controller in ("cpu", "cpuacct", "memory"):
        (tmp_path / controller / "plancton").mkdir(parents=True)
    (tmp_path / "cpu/plancton/cpu.idle").write_text("0\n")
    (tmp_path / "cpu/plancton/cpu.shares").write_text("1024\n")
    (tmp_path / "memory/plancton/memory.limit_in_bytes").write_text("9223372036854771712\n")
    (tmp_path / "cpuacct/plancton/cpuacct.usage").write_text("2500000000\n")
    (tmp_path / "memory/plancton/memory.stat").write_text(
        "cache 900\nrss 1\ntotal_cache 800\ntotal_rss 300\ntotal_shmem 50\n"
    )
    return tmp_path


@pytest.fixture
def v2(tmp_path: Path) -> Path:
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory\n")
    group = tmp_path / "plancton"
    group.mkdir()
    (group / "cpu.idle").write_text("0\n")
    (group / "cpu.weight").write_text("100\n")
    (group / "memory.max").write_text("max\n")
    (group / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    (group / "memory.stat").write_text("anon 300\nfile 900\nshmem 50\nslab_unreclaimable 7\n")
    return tmp_path


def group(root: Path, driver: str = "cgroupfs") -> PilotGroup:
    return PilotGroup(root, "plancton", driver)


def text(path: Path) -> str:
    return path.read_text().strip()


def test_v1_pilots_run_only_when_nobody_else_wants_the_cpu(v1: Path) -> None:
    told = group(v1).protect(CEILING)
    assert (told.cpu, told.memory, told.problems) == ("idle", CEILING, ())
    assert text(v1 / "cpu/plancton/cpu.idle") == "1"
    assert text(v1 / "memory/plancton/memory.limit_in_bytes") == str(CEILING // 4096 * 4096)


def test_v2_pilots_run_only_when_nobody_else_wants_the_cpu(v2: Path) -> None:
    told = group(v2).protect(CEILING)
    assert (told.cpu, told.memory, told.problems) == ("idle", CEILING, ())
    assert text(v2 / "plancton/cpu.idle") == "1"
    assert text(v2 / "plancton/memory.max") == str(CEILING // 4096 * 4096)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_without_cpu_idle_the_lowest_weight_is_used(
    request: pytest.FixtureRequest, version: str
) -> None:
    root: Path = request.getfixturevalue(version)
    directory = root / ("cpu/plancton" if version == "v1" else "plancton")
    (directory / "cpu.idle").unlink()
    told = group(root).protect(0)
    assert told.cpu == "weight"
    assert "no cpu.idle" in told.sentence
    assert text(directory / ("cpu.shares" if version == "v1" else "cpu.weight")) in ("2", "1")


def test_no_ceiling_takes_an_old_one_away(v2: Path) -> None:
    (v2 / "plancton/memory.max").write_text("5\n")
    assert group(v2).protect(0).memory is None
    assert text(v2 / "plancton/memory.max") == "max"


def test_what_is_in_place_is_not_written_again(v1: Path) -> None:
    group(v1).protect(CEILING)
    before = {path: path.stat().st_mtime_ns for path in v1.rglob("*") if path.is_file()}
    group(v1).protect(CEILING)
    assert {path: path.stat().st_mtime_ns for path in v1.rglob("*") if path.is_file()} == before


def test_what_somebody_undid_is_put_back(v1: Path) -> None:
    group(v1).protect(0)
    (v1 / "cpu/plancton/cpu.idle").write_text("0\n")
    assert group(v1).protect(0).cpu == "idle"
    assert text(v1 / "cpu/plancton/cpu.idle") == "1"


def test_a_host_that_refuses_is_reported_and_nothing_breaks(tmp_path: Path) -> None:
    told = group(tmp_path / "nothing").protect(CEILING)
    assert (told.cpu, told.memory) == ("", None)
    assert "protected by eviction alone" in told.sentence
    assert "No such file or directory" in told.sentence
    assert group(tmp_path / "nothing").read_usage() is None


def test_a_v2_group_is_made_with_the_controllers_that_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    control = tmp_path / "cgroup.subtree_control"
    control.write_text("memory\n")
    written: list[str] = []

    def as_the_kernel_does(path: Path, text: str, **_kind: str) -> None:
        if path == control:
            written.append(text)

    monkeypatch.setattr(Path, "write_text", as_the_kernel_does)
    group(tmp_path).protect(0)
    assert (tmp_path / "plancton").is_dir()
    assert set(written) == {"+cpu"}


def test_one_read_gives_what_all_pilots_use(v1: Path) -> None:
    used = group(v1).read_usage()
    assert used is not None
    assert (used.cpu_seconds, used.memory_bytes) == (2.5, 350)


def test_one_read_gives_what_all_pilots_use_on_v2(v2: Path) -> None:
    used = group(v2).read_usage()
    assert used is not None
    assert (used.cpu_seconds, used.memory_bytes) == (2.5, 357)


@pytest.mark.parametrize("form", ["abc", "libpod-abc", "docker-abc.scope", "libpod-abc.scope"])
def test_a_container_is_found_by_the_name_that_its_engine_gives_it(v2: Path, form: str) -> None:
    child = v2 / "plancton" / form
    child.mkdir()
    (child / "cpu.stat").write_text("usage_usec 500000\n")
    used = group(v2).read_usage_of("abc")
    assert used is not None
    assert (used.cpu_seconds, used.memory_bytes) == (0.5, None), "unknown is not zero"
    assert group(v2).read_usage_of("other") is None


def test_a_reading_that_makes_no_sense_is_unknown(v1: Path) -> None:
    (v1 / "cpuacct/plancton/cpuacct.usage").write_text("garbage\n")
    assert group(v1).read_usage() is None


@pytest.mark.parametrize(
    ("name", "driver", "engine", "path"),
    [
        ("plancton", "cgroupfs", "/plancton", "plancton"),
        ("/batch/plancton/", "cgroupfs", "/batch/plancton", "batch/plancton"),
        ("plancton", "systemd", "plancton.slice", "plancton.slice"),
        ("plancton.slice", "systemd", "plancton.slice", "plancton.slice"),
        (
            "batch/plancton",
            "systemd",
            "batch-plancton.slice",
            "batch.slice/batch-plancton.slice",
        ),
    ],
)
def test_the_group_in_the_words_of_the_engine_and_of_the_kernel(
    name: str, driver: str, engine: str, path: str
) -> None:
    assert cgroup.format_parent(name, driver) == engine
    assert cgroup.find_path(name, driver) == path


def test_a_pilot_that_ends_leaves_the_group_that_has_no_cpu(v1: Path) -> None:
    child = v1 / "cpu/plancton/abc"
    child.mkdir()
    (child / "cgroup.procs").write_text("4711\n")
    (v1 / "cpu/cgroup.procs").write_text("")
    group(v1).release_cpu("abc")
    assert text(v1 / "cpu/cgroup.procs") == "4711"
    group(v1).release_cpu("not-there")


def test_v1_a_container_gets_its_share_of_the_pilots_cpu(v1: Path) -> None:
    shares = v1 / "cpu/plancton/abc/cpu.shares"
    shares.parent.mkdir()
    shares.write_text("1024\n")
    for weight, written in ((100, "1024"), (10_000, "102400"), (10, "102"), (1, "10")):
        group(v1).weigh("abc", weight)
        assert text(shares) == written
    group(v1).weigh("gone", 5)


def test_v2_a_container_gets_its_share_whatever_the_engine_calls_its_group(v2: Path) -> None:
    for name in ("docker-abc.scope", "libpod-def"):
        (v2 / "plancton" / name).mkdir()
        (v2 / "plancton" / name / "cpu.weight").write_text("100\n")
    group(v2).weigh("abc", 37)
    group(v2).weigh("def", 10_000)
    assert text(v2 / "plancton/docker-abc.scope/cpu.weight") == "37"
    assert text(v2 / "plancton/libpod-def/cpu.weight") == "10000"
