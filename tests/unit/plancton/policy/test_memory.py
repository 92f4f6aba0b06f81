"""Nodes whose memory is the limit: OCCAM in 2017, where a job needed 10 GB without swap."""

from dataclasses import replace

import pytest

from plancton.config.model import Config
from plancton.model import Decision, HostFacts, HostLoad, NodeState, Pilot
from plancton.policy.capacity import limit_by_memory
from plancton.policy.decide import decide
from tests.support.fake_node import GB
from tests.support.node_states import pilots, starts, text

GIB = 1024**3
FAT = HostFacts("fat", ncpus=96, ram_bytes=768 * GIB, swap_bytes=0)
LIGHT = HostFacts("light", ncpus=48, ram_bytes=128 * GIB, swap_bytes=0)
CONFIG = Config(max_docks="ncpus", max_dock_mem=10 * GB, mem_reserve=2 * GB)


def idle(facts: HostFacts) -> HostLoad:
    return HostLoad(
        busy_cpus=0.0, pilots_cpus=0.0, mem_available=facts.ram_bytes - GB, pilots_mem=0
    )


def decided(
    facts: HostFacts, load: HostLoad, *seen: Pilot, config: Config = CONFIG
) -> tuple[int, Decision]:
    decision = decide(NodeState(facts=facts, load=load, pilots=seen), config, 1000.0)
    return starts(decision), decision


@pytest.mark.parametrize(("facts", "most"), [(FAT, 82), (LIGHT, 13)])
def test_memory_and_not_the_cpus_decides_how_many_start(facts: HostFacts, most: int) -> None:
    """2017: at most 80 on 96 cores, and only 13 on 48."""
    begun, decision = decided(facts, idle(facts))
    assert begun == most < facts.ncpus
    assert text(decision, "memory").startswith(f"Memory allows {most} pilots: ")


def test_a_full_light_node_takes_no_fourteenth_though_35_cpus_are_idle() -> None:
    seen = pilots(*[500.0] * 13, memory=9 * GB)
    load = HostLoad(
        busy_cpus=13.0,
        pilots_cpus=13.0,
        mem_available=LIGHT.ram_bytes - GB - 13 * 9 * GB,
        pilots_mem=13 * 9 * GB,
    )
    begun, decision = decided(LIGHT, load, *seen)
    assert (begun, decision.actions) == (0, ())
    assert "Memory allows 13 pilots" in decision.summary


def test_pilots_that_have_not_grown_yet_are_counted_with_all_they_may_use() -> None:
    """Free memory is what it is now; a young pilot's job has not begun to use its share."""
    seen = pilots(*[500.0] * 13, memory=GB // 10)
    load = HostLoad(
        busy_cpus=0.0,
        pilots_cpus=0.0,
        mem_available=LIGHT.ram_bytes - 2 * GB,
        pilots_mem=13 * GB // 10,
    )
    assert decided(LIGHT, load, *seen)[0] == 0


def test_a_pilot_that_uses_more_than_its_share_leaves_less_for_the_next_one() -> None:
    load = HostLoad(
        busy_cpus=4.0, pilots_cpus=4.0, mem_available=15 * GB, pilots_mem=LIGHT.ram_bytes - 20 * GB
    )
    allowed = limit_by_memory(CONFIG, load, 4)
    assert allowed.start == 5, "one more of 10 GB beside the reserve, whatever is used now"


def test_swap_does_not_make_room() -> None:
    """A pilot in the owner's swap is slower than no pilot."""
    swapping = replace(LIGHT, swap_bytes=512 * GB)
    assert decided(swapping, idle(swapping))[0] == decided(LIGHT, idle(LIGHT))[0] == 13


def test_the_owner_s_memory_is_not_given_away() -> None:
    load = replace(idle(LIGHT), mem_available=LIGHT.ram_bytes - 100 * GB)
    assert decided(LIGHT, load)[0] == 3


def test_without_psi_memory_still_decides() -> None:
    """Kernels before 4.20, and many distributions' after it, do not tell of stalls."""
    old = replace(idle(LIGHT), memory_stall=None)
    assert decided(LIGHT, old)[0] == 13
    short = replace(old, mem_available=GB, pilots_mem=117 * GB)
    _, decision = decided(LIGHT, short, *pilots(*[500.0] * 13, memory=9 * GB))
    assert len(decision.actions) == 1, "1 GB is missing to the reserve: one pilot of 9 GB goes"
