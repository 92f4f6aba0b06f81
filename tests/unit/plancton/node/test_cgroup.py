"""The control group of all pilots, on trees of files that look like those of a node."""

from pathlib import Path

import pytest

from plancton.node import cgroup
from plancton.node.cgroup import PilotGroup

CEILING = 10_000_000_123
NOW = 1000.0


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


@pytest.mark.parametrize(
    ("version", "idle", "ceiling"),
    [
        ("v1", "cpu/plancton/cpu.idle", "memory/plancton/memory.limit_in_bytes"),
        ("v2", "plancton/cpu.idle", "plancton/memory.max"),
    ],
)
def test_pilots_run_only_when_nobody_else_wants_the_cpu(
    request: pytest.FixtureRequest, version: str, idle: str, ceiling: str
) -> None:
    root: Path = request.getfixturevalue(version)
    told = group(root).protect(CEILING)
    assert (told.cpu, told.memory, told.problems) == ("idle", CEILING, ())
    assert text(root / idle) == "1"
    assert text(root / ceiling) == str(CEILING // 4096 * 4096)


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


def test_what_something_else_changed_is_put_back_and_told(v2: Path) -> None:
    one = group(v2)
    assert one.protect(CEILING).changes == (), "the first time it is nobody's fault"
    for _ in range(2):
        (v2 / "plancton/cpu.idle").write_text("0\n")
        told = one.protect(CEILING)
    (v2 / "plancton/memory.max").write_text("max\n")
    told = one.protect(CEILING)
    assert told.changes == (
        "something else set cpu.idle to 0 (at least 2x since the daemon started), and it was set "
        "back",
        "something else set memory.max to max (at least 1x since the daemon started), and it was "
        "set back",
    )
    assert told.changes[0] in told.sentence
    assert text(v2 / "plancton/cpu.idle") == "1"
    assert text(v2 / "plancton/memory.max") == str(CEILING // 4096 * 4096)


def test_something_that_never_gives_in_is_told_ever_less_often(v2: Path) -> None:
    one = group(v2)
    told = [one.protect(0).sentence]
    for number in range(1000):
        (v2 / "plancton/cpu.idle").write_text("0\n")
        (v2 / "plancton/memory.max").write_text(f"{number}\n")
        told.append(one.protect(0).sentence)
    news = [new for old, new in zip(told, told[1:], strict=False) if new != old]
    assert len(news) == 10, "1, 2, 4 ... 512 times"
    assert "set memory.max to 511 (at least 512x since" in news[-1]


def test_another_ceiling_and_a_group_made_anew_are_nobody_elses_change(v2: Path) -> None:
    one = group(v2)
    one.protect(CEILING)
    assert one.protect(2 * CEILING).changes == ()
    (v2 / "plancton").rename(v2 / "old")
    (v2 / "plancton").mkdir()
    for name in ("cpu.idle", "memory.max"):
        (v2 / "plancton" / name).write_text("0\n")
    assert one.protect(2 * CEILING).changes == ()
    assert text(v2 / "plancton/cpu.idle") == "1"


def test_v1_reads_a_huge_number_where_there_is_no_limit_and_that_is_no_change(v1: Path) -> None:
    one = group(v1)
    limit = v1 / "memory/plancton/memory.limit_in_bytes"
    one.protect(0)
    limit.write_text("9223372036854771712\n")
    assert one.protect(0).changes == ()


class Systemd:
    """A systemd that knows some properties; ``said`` is what it was told."""

    def __init__(self, *unknown: str) -> None:
        self.unknown, self.said = unknown, list[tuple[str, str]]()

    def __call__(self, unit: str, setting: str) -> str:
        self.said.append((unit, setting))
        return f"refused {setting}" if setting in self.unknown else ""


@pytest.fixture
def slice_v2(v2: Path) -> Path:
    (v2 / "plancton").rename(v2 / "plancton.slice")
    return v2


def test_systemd_is_told_once_so_that_it_keeps_the_protection(slice_v2: Path) -> None:
    systemd = Systemd()
    one = PilotGroup(slice_v2, "plancton", "systemd", systemd)
    for _ in range(3):
        assert one.protect(CEILING).problems == ()
    size = CEILING // 4096 * 4096
    assert systemd.said == [
        ("plancton.slice", "CPUWeight=idle"),
        ("plancton.slice", f"MemoryMax={size}"),
    ]
    one.protect(0)
    assert systemd.said[2:] == [("plancton.slice", "MemoryMax=infinity")]
    (slice_v2 / "plancton.slice/cpu.idle").write_text("0\n")
    one.protect(0)
    assert systemd.said[3:] == [("plancton.slice", "CPUWeight=idle")], "it has not kept it"


def test_a_systemd_that_knows_no_idle_weight_is_told_the_lowest(slice_v2: Path) -> None:
    systemd = Systemd("CPUWeight=idle")
    told = PilotGroup(slice_v2, "plancton", "systemd", systemd).protect(0)
    assert (told.cpu, told.problems) == ("idle", ())
    assert [setting for _, setting in systemd.said] == [
        "CPUWeight=idle",
        "CPUWeight=1",
        "MemoryMax=infinity",
    ]


def test_what_systemd_refuses_is_told_as_long_as_it_lasts(slice_v2: Path) -> None:
    systemd = Systemd("CPUWeight=idle", "CPUWeight=1")
    one = PilotGroup(slice_v2, "plancton", "systemd", systemd)
    for _ in range(2):
        told = one.protect(0)
        assert (told.cpu, told.problems) == ("idle", ("refused CPUWeight=1",))
    assert len(systemd.said) == 3, "it is not asked again and again"


def test_a_group_that_is_no_slice_is_none_of_systemds_business(v2: Path) -> None:
    systemd = Systemd()
    PilotGroup(v2, "plancton", "cgroupfs", systemd).protect(CEILING)
    assert systemd.said == []


@pytest.mark.parametrize(("outer", "inside"), [("0", "batch"), ("1", "")])
def test_inside_another_group_pilots_come_last_there_alone(
    v2: Path, outer: str, inside: str
) -> None:
    (v2 / "batch").mkdir()
    (v2 / "batch/cgroup.subtree_control").write_text("cpu memory\n")
    (v2 / "batch/cpu.idle").write_text(f"{outer}\n")
    (v2 / "plancton").rename(v2 / "batch/plancton")
    told = PilotGroup(v2, "batch/plancton", "cgroupfs").protect(0)
    assert (told.cpu, told.inside) == ("idle", str(v2 / inside) if inside else "")
    assert told.cpu_is_idle is not bool(inside)


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


@pytest.mark.parametrize(("version", "memory"), [("v1", 350), ("v2", 357)])
def test_one_read_gives_what_all_pilots_use(
    request: pytest.FixtureRequest, version: str, memory: int
) -> None:
    used = group(request.getfixturevalue(version)).read_usage()
    assert used is not None
    assert (used.cpu_seconds, used.memory_bytes) == (2.5, memory)


@pytest.mark.parametrize("form", ["abc", "libpod-abc", "docker-abc.scope", "libpod-abc.scope"])
def test_a_container_is_found_by_the_name_that_its_engine_gives_it(v2: Path, form: str) -> None:
    child = v2 / "plancton" / form
    child.mkdir()
    (child / "cpu.stat").write_text("usage_usec 500000\n")
    used = group(v2).read_usage_of("abc")
    assert used is not None
    assert (used.cpu_seconds, used.memory_bytes) == (0.5, None), "unknown is not zero"
    assert group(v2).read_usage_of("other") is None


def press(directory: Path, full: float) -> None:
    """Let the tasks of a group wait for memory."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "memory.pressure").write_text(
        "some avg10=99.00 avg60=0.00 avg300=0.00 total=9\n"
        f"full avg10={full:.2f} avg60=0.00 avg300=0.00 total=9\n"
    )


def test_the_group_beside_the_pilots_that_waits_most_tells_how_the_owner_waits(
    slice_v2: Path,
) -> None:
    press(slice_v2 / "plancton.slice", 80.0)
    press(slice_v2 / "plancton.slice/docker-abc.scope", 90.0)
    assert group(slice_v2, "systemd").read_stall_beside(NOW) is None, "no other group tells"
    press(slice_v2 / "system.slice", 0.0)
    press(slice_v2 / "user.slice", 12.5)
    press(slice_v2 / "user.slice/user-1000.slice", 70.0)
    assert group(slice_v2, "systemd").read_stall_beside(NOW) == 12.5
    assert group(slice_v2).read_stall_beside(NOW) is None, "tasks may be outside every group"


def test_beside_a_slice_inside_another_one_are_the_neighbours_of_both(v2: Path) -> None:
    press(v2 / "batch.slice", 70.0)
    press(v2 / "batch.slice/batch-plancton.slice", 80.0)
    press(v2 / "user.slice", 3.0)
    one = PilotGroup(v2, "batch/plancton", "systemd")
    assert one.read_stall_beside(NOW) == 3.0
    press(v2 / "batch.slice/batch-condor.slice", 5.0)
    assert one.read_stall_beside(NOW) == 5.0


def test_a_group_in_which_something_reaches_a_limit_of_its_own_does_not_count(
    slice_v2: Path,
) -> None:
    one = group(slice_v2, "systemd")
    events = slice_v2 / "system.slice/memory.events"
    press(slice_v2 / "system.slice", 60.0)
    press(slice_v2 / "user.slice", 2.0)
    events.write_text("low 0\nhigh 0\nmax 7\noom 0\noom_kill 0\n")
    assert one.read_stall_beside(NOW) == 2.0, "it may have been now"
    assert one.read_stall_beside(NOW + 29) == 2.0, "an average of 10 s still shows it"
    assert one.read_stall_beside(NOW + 30) == 60.0
    events.write_text("low 5\nhigh 1\nmax 7\noom 0\noom_kill 0\n")
    assert one.read_stall_beside(NOW + 40) == 2.0
    events.write_text("low 9\nhigh 1\nmax 7\noom 0\noom_kill 0\n")
    assert one.read_stall_beside(NOW + 70) == 60.0, "what is protected has no limit"


def test_control_groups_v1_do_not_tell_what_waits_for_memory(v1: Path) -> None:
    press(v1 / "memory/user.slice", 50.0)
    assert group(v1, "systemd").read_stall_beside(NOW) is None


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


def test_processes_outside_our_pid_namespace_are_left_where_they_are(v2: Path) -> None:
    child = v2 / "plancton/abc"
    child.mkdir()
    (child / "cgroup.procs").write_text("0\n0\n")
    (v2 / "cgroup.procs").write_text("")
    group(v2).release_cpu("abc")
    assert text(v2 / "cgroup.procs") == "", "0 would move the daemon itself"
    assert group(v2).kill("abc") == 0, "0 would kill the daemon itself"


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
