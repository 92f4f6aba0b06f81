"""An owner who takes the CPU of running pilots: who is kept and given up, and what TTL counts."""

from dataclasses import replace

import pytest

from plancton.config.model import Config
from plancton.model import (
    Decision,
    History,
    HostLoad,
    Mode,
    NodeState,
    Pilot,
    PilotState,
    Prepared,
    Protection,
    StopPilot,
)
from plancton.policy.decide import decide
from tests.support.fake_node import FACTS, GB, IDLE
from tests.support.node_states import starts, stopped, text

#: The owner uses all 8 CPUs.
FULL = replace(IDLE, busy_cpus=8.0, pilots_cpus=0.0, pilots_mem=GB)
CONFIG = Config(max_docks=8, grace_kill=120.0)


class Node:
    """A node whose clock, load and pilots' CPU time a test moves."""

    def __init__(
        self, *ages: float, config: Config = CONFIG, cpu: str = "idle", inside: str = ""
    ) -> None:
        self.config, self.now, self.history = config, 10_000.0, History()
        self.prepared = Prepared(protection=Protection("/plancton", cpu=cpu, inside=inside))
        self.pilots = [
            Pilot(f"p{n}", f"p{n}", PilotState.RUNNING, age=age, cpu_seconds=0.0)
            for n, age in enumerate(ages)
        ]

    def run(
        self, seconds: float, load: HostLoad = FULL, cpus: float = 0.0, **more: object
    ) -> Decision:
        """Let ``seconds`` pass, in passes of 30 s, in which each pilot gets ``cpus``."""
        while True:
            state = NodeState(
                facts=FACTS,
                load=load,
                pilots=tuple(self.pilots),
                history=self.history,
                prepared=self.prepared,
            )
            decision = decide(replace(state, **more), self.config, self.now)  # type: ignore[arg-type]
            self.history = decision.history
            if seconds <= 0 or stopped(decision):
                return decision
            step = min(30.0, seconds)
            seconds -= step
            self.now += step
            self.pilots = [
                replace(
                    p, age=(p.age or 0.0) + step, cpu_seconds=(p.cpu_seconds or 0.0) + cpus * step
                )
                for p in self.pilots
            ]


def reasons(decision: Decision) -> set[str]:
    return {one.reason for one in decision.actions if isinstance(one, StopPilot)}


def test_pilots_that_cost_the_owner_nothing_are_not_evicted_for_cpu() -> None:
    decision = Node(100, 200, 300).run(3000.0)
    assert decision.actions == ()
    assert starts(decision) == 0
    assert text(decision, "cpu") == (
        "CPU allows 0 pilots, and 3 are in use: 8 CPUs, 8.00 used by the owner, 0 in reserve, "
        "1 a pilot; running ones are kept, as they get only what the owner leaves."
    )
    assert text(decision, "grace_kill") == "No more pilots run than the node can hold."


@pytest.mark.parametrize(("cpu", "inside"), [("weight", ""), ("", ""), ("idle", "/batch")])
def test_where_the_protection_is_missing_or_weaker_they_are_evicted_as_before(
    cpu: str, inside: str
) -> None:
    decision = Node(100, 200, 300, cpu=cpu, inside=inside).run(300.0)
    assert sorted(stopped(decision)) == ["p0", "p1", "p2"]
    assert reasons(decision) == {"the owner needs the node"}


def test_memory_windows_the_admin_and_max_docks_evict_from_a_protected_node() -> None:
    short = replace(FULL, mem_available=GB // 2, pilots_mem=8 * GB)
    assert reasons(Node(100, 200).run(0.0, short)) == {"memory is short"}
    forced = Node(100, 200).run(0.0, mode=Mode.FORCE_STOP)
    assert len(stopped(forced)) == 2
    closed = Node(100, 200, config=Config(max_docks=8, stops=("daily 00:00-24:00",)))
    assert reasons(closed.run(0.0, wall=1e9)) == {"its window is over"}
    fewer = Node(100, 200, 300, config=Config(max_docks=2, grace_kill=120.0)).run(300.0)
    assert stopped(fewer) == ["p0"], "down to max_docks, not to what the CPU allows"


def test_memory_evicts_down_to_what_memory_allows_and_not_to_what_the_cpu_does() -> None:
    # 4 GB of the owner's reserve and of room for pilots: one and a half pilots of 2 GB.
    less = replace(FULL, mem_available=2 * GB, pilots_mem=2 * GB)
    decision = Node(100, 200, 300).run(300.0, less)
    assert stopped(decision) == ["p0", "p1"]
    assert reasons(decision) == {"the owner needs the node"}


def test_a_pilot_that_gets_nothing_for_squeeze_limit_is_given_up() -> None:
    node = Node(100, 200)
    decision = node.run(3570.0)
    assert decision.actions == ()
    assert text(decision, "squeezed") == (
        "2 pilots got no CPU for up to 3570 s, as the owner uses it; what the owner leaves goes to "
        "the oldest first; such pilots are given up after 3600 s (squeeze_limit)."
    )
    assert decision.recheck_after == pytest.approx(30.0)
    last = node.run(30.0)
    assert sorted(stopped(last)) == ["p0", "p1"]
    assert reasons(last) == {"it got no CPU for too long"}
    assert last.history.last_eviction == node.now


def test_a_pilot_that_gets_a_little_is_kept_and_one_that_gets_something_again_begins_anew() -> None:
    node = Node(100)
    assert node.run(7200.0, cpus=0.05).actions == ()
    assert node.run(3500.0).actions == ()
    assert node.run(60.0, replace(FULL, busy_cpus=3.0)).history.shares[0].starved == 0.0
    assert node.run(3500.0).actions == ()


def test_idle_pilots_on_a_node_that_is_full_of_pilots_are_not_squeezed() -> None:
    busy = replace(IDLE, busy_cpus=8.0, pilots_cpus=8.0)
    decision = Node(*range(100, 108)).run(7200.0, busy)
    assert decision.actions == ()
    assert text(decision, "squeezed") == "No pilot waits for CPU that the owner uses."


def test_squeeze_limit_0_gives_up_no_pilot() -> None:
    node = Node(100, config=Config(max_docks=8, squeeze_limit=0.0))
    decision = node.run(36_000.0)
    assert decision.actions == ()
    assert text(decision, "squeezed").endswith("they are kept, as squeeze_limit is 0.")


def test_while_the_load_is_not_known_nobody_starves() -> None:
    node = Node(100)
    node.run(1800.0)
    assert node.run(7200.0, replace(FULL, busy_cpus=None)).actions == ()
    assert stopped(node.run(1700.0)) == []
    assert stopped(node.run(200.0)) == ["p0"], "the hour that is known is over"


# max_ttl


def test_the_default_of_max_ttl_ends_no_pilot_that_works_or_that_the_owner_squeezes() -> None:
    node = Node(43_000, config=Config(max_docks=8, squeeze_limit=0.0))
    node.pilots = [replace(node.pilots[0], cpu_seconds=40_000.0)]
    assert node.run(6000.0).actions == (), "squeezed"
    calm = replace(IDLE, busy_cpus=1.0)
    decision = node.run(43_100.0, calm, cpus=1.0)
    assert stopped(decision) == [], "working"
    assert text(decision, "max_ttl") == (
        "No pilot is without using CPU for longer than max_ttl (43200 s)."
    )
    assert stopped(node.run(43_100.0, calm)) == []
    assert reasons(node.run(200.0, calm)) == {"it is older than max_ttl"}, "stuck for 12 hours"


def test_a_long_max_ttl_is_shown_as_it_was_written() -> None:
    node = Node(10, config=Config(max_docks=8, max_ttl=1_209_600.5))
    assert text(node.run(10.0), "max_ttl") == "No pilot is older than max_ttl (1209600.5 s)."


def test_a_pilot_that_computes_for_a_week_beside_the_owners_time_ends() -> None:
    node = Node(604_000, config=Config(max_docks=8, squeeze_limit=0.0))
    node.pilots = [replace(node.pilots[0], cpu_seconds=600_000.0)]
    calm = replace(IDLE, busy_cpus=1.0)
    assert node.run(3000.0).actions == (), "squeezed"
    assert stopped(node.run(700.0, calm, cpus=1.0)) == []
    decision = node.run(200.0, calm, cpus=1.0)
    assert reasons(decision) == {"it is older than max_ttl"}
    assert text(decision, "max_ttl") == (
        "1 pilot without using CPU for longer than max_ttl (43200 s), or older than 604800 s: "
        "asked to end."
    )


def test_an_adopted_pilot_that_never_used_cpu_is_stuck_since_its_start() -> None:
    calm = replace(IDLE, busy_cpus=1.0)
    assert reasons(Node(43_190).run(60.0, calm)) == {"it is older than max_ttl"}
    young = Node(43_190)
    young.pilots = [replace(young.pilots[0], cpu_seconds=20_000.0)]
    assert stopped(young.run(3600.0, calm)) == []


def test_a_max_ttl_that_is_written_counts_the_whole_age_as_in_2017() -> None:
    node = Node(43_000, config=Config(max_docks=8, squeeze_limit=0.0, max_ttl=43_200.0))
    assert reasons(node.run(6000.0)) == {"it is older than max_ttl"}
    assert node.now == 10_000.0 + 210.0


def test_a_stuck_pilot_on_an_idle_node_ends_at_max_ttl() -> None:
    decision = Node(43_190).run(60.0, replace(IDLE, busy_cpus=0.1))
    assert reasons(decision) == {"it is older than max_ttl"}


# The oldest first


def test_the_oldest_pilot_weighs_a_thousand_times_the_youngest() -> None:
    decision = Node(300, 100, 400, 200).run(0.0)
    assert decision.weights == (("p2", 10_000), ("p0", 1000), ("p3", 100), ("p1", 10))
    assert Node(100).run(0.0).weights == (("p0", 10_000),)
    assert Node(100, 200, cpu="").run(0.0).weights == (), "all get the same"


def test_pilots_that_are_to_end_or_start_are_not_weighed() -> None:
    node = Node(100, 200, 300)
    node.pilots[0] = replace(node.pilots[0], state=PilotState.STARTING)
    node.pilots[1] = replace(node.pilots[1], state=PilotState.STOPPING)
    assert node.run(0.0).weights == (("p2", 10_000),)
