"""The sensors on an artificial /proc."""

from dataclasses import replace
from pathlib import Path

import pytest

from plancton.model import Usage
from plancton.node.sensors import MIN_INTERVAL, ProcSensors

MEMINFO = "MemTotal:  64000000 kB\nMemFree: 1 kB\nMemAvailable: 60000000 kB\nSwapTotal: 0 kB\n"


def stat(user: int, idle: int, *, iowait: int = 0, steal: int = 0) -> str:
    total = f"cpu  {user} 0 0 {idle} {iowait} 0 0 {steal} 0 0\n"
    return total + "cpu0 0 0 0 0 0 0 0 0 0 0\ncpu1 0 0 0 0 0 0 0 0 0 0\nintr 1\n"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "meminfo").write_text(MEMINFO)
    (tmp_path / "stat").write_text(stat(0, 0))
    return tmp_path


def used(cpu: float, memory: int = 5) -> Usage:
    return Usage(cpu_seconds=cpu, memory_bytes=memory)


def test_the_facts_of_a_node(proc: Path) -> None:
    facts = ProcSensors(proc).read_facts()
    assert (facts.ncpus, facts.ram_bytes, facts.swap_bytes) == (2, 64_000_000 * 1024, 0)
    assert facts.hostname and "." not in facts.hostname


def test_one_reading_of_the_cpu_is_none(proc: Path) -> None:
    load = ProcSensors(proc).read_load(used(0), 100.0)
    assert load.busy_cpus is None and load.owner_cpus is None
    assert load.mem_available == 60_000_000 * 1024


def test_owner_is_all_minus_pilots(proc: Path) -> None:
    sensors = ProcSensors(proc)
    sensors.read_load(used(50.0), 100.0)
    (proc / "stat").write_text(stat(1500, 500))
    load = sensors.read_load(used(55.0), 110.0)
    assert load.busy_cpus == pytest.approx(1.5)
    assert load.pilots_cpus == pytest.approx(0.5)
    assert load.owner_cpus == pytest.approx(1.0)
    assert load.pilots_mem == 5


def test_waiting_for_a_disk_is_idle_and_stolen_time_is_not(proc: Path) -> None:
    sensors = ProcSensors(proc)
    sensors.read_load(used(0), 100.0)
    (proc / "stat").write_text(stat(0, 0, iowait=1000, steal=1000))
    assert sensors.read_load(used(0), 110.0).busy_cpus == pytest.approx(1.0)


def test_two_looks_close_together_share_a_cpu_reading(proc: Path) -> None:
    sensors = ProcSensors(proc)
    sensors.read_load(used(0), 100.0)
    (proc / "stat").write_text(stat(1000, 0))
    first = sensors.read_load(used(0), 110.0)
    assert not sensors.is_due(110.0 + MIN_INTERVAL / 2)
    (proc / "stat").write_text(stat(9000, 0))
    assert sensors.read_load(None, 110.0 + MIN_INTERVAL / 2).busy_cpus == first.busy_cpus


def test_a_rounding_difference_is_no_negative_owner(proc: Path) -> None:
    sensors = ProcSensors(proc)
    sensors.read_load(used(0), 100.0)
    (proc / "stat").write_text(stat(100, 0))
    assert sensors.read_load(used(1.2), 110.0).owner_cpus == 0.0


@pytest.mark.parametrize("name", ["stat", "meminfo"])
@pytest.mark.parametrize("damage", ["missing", "garbage"])
def test_what_cannot_be_read_is_unknown_and_not_zero(proc: Path, name: str, damage: str) -> None:
    sensors = ProcSensors(proc)
    sensors.read_load(used(0), 100.0)
    if damage == "missing":
        (proc / name).unlink()
    else:
        (proc / name).write_text("what?\n")
    load = sensors.read_load(used(0), 110.0)
    assert (load.busy_cpus if name == "stat" else load.mem_available) is None


def test_without_usage_of_pilots_the_owner_s_share_is_unknown(proc: Path) -> None:
    sensors = ProcSensors(proc)
    sensors.read_load(used(0), 100.0)
    load = sensors.read_load(None, 110.0)
    assert load.busy_cpus == 0.0
    assert load.pilots_cpus is None and load.owner_cpus is None and load.pilots_mem is None


def test_memory_stalls_are_read_where_the_kernel_has_psi(proc: Path) -> None:
    assert ProcSensors(proc).read_load(None, 1.0).memory_stall is None
    (proc / "pressure").mkdir()
    (proc / "pressure/memory").write_text(
        "some avg10=9.00 avg60=1.00 avg300=0.00 total=1\n"
        "full avg10=4.50 avg60=1.00 avg300=0.00 total=1\n"
    )
    assert ProcSensors(proc).read_load(None, 1.0).memory_stall == 4.5


def test_what_the_owner_s_groups_waited_for_memory_counts_where_it_is_known(proc: Path) -> None:
    (proc / "pressure").mkdir()
    (proc / "pressure/memory").write_text("full avg10=4.50 avg60=1.00 avg300=0.00 total=1\n")
    sensors = ProcSensors(proc)
    for now, beside, expected in ((1.0, 60.0, 60.0), (2.0, 0.0, 0.0), (3.0, None, 4.5)):
        usage = replace(used(0), stall_beside=beside)
        assert sensors.read_load(usage, now).memory_stall == expected


def test_the_real_node_can_be_read() -> None:
    sensors = ProcSensors()
    facts, load = sensors.read_facts(), sensors.read_load(None, 1.0)
    assert facts.ncpus >= 1 and facts.ram_bytes > 0
    assert load.mem_available is not None and 0 < load.mem_available <= facts.ram_bytes
