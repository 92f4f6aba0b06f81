"""Simulate nodes: idle, full and changing owners, jobs that end or do not, windows and memory."""

from collections.abc import Sequence

import pytest

from plancton.config.model import Config
from plancton.model import HostFacts
from plancton.simulation import queue
from plancton.simulation.compare import compare, make_config_of_2017
from plancton.simulation.foresight import simulate_foresight
from plancton.simulation.node import NodeSetup, simulate
from plancton.simulation.owner import Span, parse_intervals
from plancton.simulation.queue import JobQueue, Lengths, draw_endless, read_lengths
from plancton.simulation.report import list_rows
from plancton.simulation.result import SimulationResult, add_up
from tests.support.fake_node import GB

FACTS = HostFacts("n", ncpus=10, ram_bytes=640 * GB, swap_bytes=0)
CONFIG = Config(max_docks="ncpus", grace_kill=120.0, grace_spawn=60.0)
HOUR = 3600.0


def run(
    *spans: Span,
    config: Config = CONFIG,
    facts: HostFacts = FACTS,
    jobs: Lengths = draw_endless,
    claim: str = "any",
    protected: bool = True,
    memory: int = 2 * GB,
) -> SimulationResult:
    jobs_waiting = JobQueue(jobs, 50, queue.CLAIMS[claim], 1)
    return simulate(spans, NodeSetup(config, facts, jobs_waiting, protected, memory))


def owner(*parts: tuple[float, float]) -> tuple[Span, ...]:
    """(CPUs, for how many seconds) one after the other."""
    end, spans = 0.0, []
    for cpus, seconds in parts:
        end += seconds
        spans.append(Span(end, cpus))
    return tuple(spans)


def accounted(found: SimulationResult) -> float:
    return found.finished_cpu + found.running_cpu + found.thrown + found.unused_cpu


def test_an_idle_node_is_full_from_its_second_look_on() -> None:
    found = run(*owner((0.0, HOUR)))
    assert found.duration == HOUR
    assert found.started == 10
    # The CPU load is known after two looks, which are half a second apart.
    assert found.running_cpu == pytest.approx(10 * (HOUR - 0.5))
    assert found.unused_cpu == pytest.approx(10 * 0.5)


def test_a_node_that_its_owner_fills_gets_no_pilot() -> None:
    found = run(*owner((10.0, HOUR)))
    assert (found.started, found.idle_cpu, found.owner_cpu) == (0, 0.0, 10 * HOUR)


def test_jobs_of_ten_minutes_end_and_are_replaced_at_once() -> None:
    found = run(*owner((0.0, HOUR)), jobs=read_lengths("fixed:600"))
    # Each of ten pilots begins half a second late, so that its sixth job does not end.
    assert found.finished == 50
    assert found.finished_cpu == pytest.approx(50 * 600)
    assert found.running_cpu == pytest.approx(10 * 599.5)


def test_an_unprotected_owner_meets_pilots_and_they_are_evicted_for_him() -> None:
    found = run(*owner((0.0, HOUR), (10.0, HOUR)), protected=False)
    # Beside three pilots he is seen to use 7.7 of 10 CPUs, which leaves room for three.
    assert found.evicted == 7
    assert found.thrown_cpu["owner"] == pytest.approx(7 * HOUR, rel=0.05)
    assert found.owner_squeezed == pytest.approx((10 - 100 / 13) * HOUR, rel=0.1)
    assert run(*owner((0.0, HOUR), (10.0, HOUR))).owner_squeezed == 0.0


def test_pilots_outlast_the_load_of_a_protected_owner_until_squeeze_limit() -> None:
    assert run(*owner((0.0, HOUR), (10.0, HOUR / 2), (0.0, HOUR))).evicted == 0
    longer = run(*owner((0.0, HOUR), (10.0, 2 * HOUR)))
    assert longer.evicted == 10
    # Ten pilots lived for an hour with CPU and for squeeze_limit, an hour, without.
    assert longer.pilot_time == pytest.approx(10 * 2 * HOUR, rel=0.02)


def test_an_owner_who_takes_the_memory_evicts_at_once() -> None:
    spans = (Span(HOUR, 0.0), Span(2 * HOUR, 10.0, FACTS.ram_bytes))
    found = run(*spans)
    assert found.evicted == 10
    assert found.thrown_cpu == {"memory": pytest.approx(10 * (HOUR - 0.5))}


def test_every_second_that_the_owner_left_is_accounted_for() -> None:
    spans = owner((2.0, 500), (9.0, 700), (0.0, 1300), (6.5, 2000), (10.0, 900), (3.0, 4000))
    found = run(*spans, jobs=read_lengths("exponential:700"))
    assert found.idle_cpu == pytest.approx(8 * 500 + 700 + 13000 + 3.5 * 2000 + 7 * 4000)
    assert accounted(found) == pytest.approx(found.idle_cpu)
    assert 0 < found.finished_cpu < found.idle_cpu


def test_a_long_job_that_works_is_not_old_and_with_the_rules_of_2017_it_is() -> None:
    day = owner((0.0, 24 * HOUR))
    jobs = read_lengths("fixed:72000")
    assert run(*day, jobs=jobs).finished == 10
    old = run(*day, jobs=jobs, config=make_config_of_2017(CONFIG), protected=False)
    assert old.finished == 0
    # Twelve hours of each, and up to four minutes of four pilots at a time until all had begun.
    assert old.thrown_cpu["max_ttl"] == pytest.approx(10 * 12 * HOUR, rel=0.01)


def test_windows_are_kept() -> None:
    """The trace begins on a Monday at 00:00."""
    nights = CONFIG.model_copy(update={"windows": ("mon 00:30-24:00",), "timezone": "UTC"})
    assert run(*owner((0.0, HOUR)), config=nights).pilot_time == pytest.approx(10 * 1800)


def test_a_pilot_is_told_when_its_window_ends() -> None:
    """The window closes after an hour, so no job of more than 59.5 minutes is taken."""
    short = CONFIG.model_copy(update={"windows": ("mon 00:00-01:00",), "timezone": "UTC"})
    jobs = read_lengths("uniform:60,7200")
    found = run(*owner((0.0, 2 * HOUR)), config=short, jobs=jobs, claim="fitting")
    assert found.thrown == 0.0
    assert found.finished > 10
    assert run(*owner((0.0, 2 * HOUR)), config=short, jobs=jobs).thrown > 0.0


def test_a_pilot_that_finds_no_job_that_fits_backs_off() -> None:
    short = CONFIG.model_copy(update={"windows": ("mon 00:00-01:00",), "timezone": "UTC"})
    jobs = read_lengths("fixed:7200")
    found = run(*owner((0.0, 2 * HOUR)), config=short, jobs=jobs, claim="fitting")
    assert found.finished_cpu == found.running_cpu == 0.0
    assert 10 < found.no_work < 40, "ten at first, then one after 10, 20, 40 ... 300 s"


def test_a_node_with_regular_idle_times_learns_them() -> None:
    """The owner leaves for 20 minutes, then works for 20, for four days: told to fit, few fail."""
    one = HostFacts("n", ncpus=1, ram_bytes=8 * GB, swap_bytes=0)
    words = " ".join(f"{begin} {begin + 1200}" for begin in range(0, 4 * 86400, 2400))
    spans = parse_intervals(one)(words, "here")
    jobs = read_lengths("uniform:60,3600")
    learned = run(*spans, facts=one, jobs=jobs, claim="fitting")
    ignorant = run(*spans, facts=one, jobs=jobs)
    best = best_of(spans, one, jobs)
    assert ignorant.share(ignorant.thrown) > 0.6
    assert learned.share(learned.thrown) < 0.15
    assert learned.finished_cpu > 0.8 * best.finished_cpu


def best_of(spans: Sequence[Span], facts: HostFacts, jobs: Lengths) -> SimulationResult:
    return simulate_foresight(spans, facts, 1.0, JobQueue(jobs, 50, queue.take_any, 1), False)


def test_one_who_knows_the_future_fits_jobs_into_each_idle_time() -> None:
    one = HostFacts("n", ncpus=1, ram_bytes=8 * GB, swap_bytes=0)
    spans = parse_intervals(one)("100 200 1250 1300", "here")
    found = best_of(spans, one, read_lengths("fixed:100"))
    # 100 s, then 1050 s: one job and ten.
    assert (found.finished, found.finished_cpu, found.idle_cpu) == (11, 1100.0, 1150.0)


def test_one_who_knows_the_future_lets_jobs_pause_while_a_protected_owner_works() -> None:
    spans = owner((0.0, 150), (10.0, 500), (5.0, 150))
    jobs = JobQueue(read_lengths("fixed:200"), 1, queue.take_any, 1)
    paused = simulate_foresight(spans, FACTS, 1.0, jobs, True)
    # Five CPUs are idle for 300 s in two parts, and five for 150 s.
    assert paused.finished == 5
    assert simulate_foresight(spans, FACTS, 1.0, jobs, False).finished == 0


def test_one_who_knows_the_future_runs_no_more_jobs_than_fit_into_the_memory() -> None:
    """640 GB without the reserve of 1 GB hold six jobs of 100 GB, and none of 640 GB."""
    config = Config(max_docks="ncpus", max_dock_mem=100 * GB)
    for memory, jobs in ((100 * GB, 6), (640 * GB, 0)):
        waiting = JobQueue(read_lengths("fixed:3600"), 1, queue.take_any, 1)
        setup = NodeSetup(config, FACTS, waiting, True, memory)
        found = compare([owner((0.0, HOUR))], setup).results["knowing the future"]
        assert (found.finished, found.idle_cpu) == (jobs, 10 * HOUR)


def test_nodes_add_up() -> None:
    one = run(*owner((0.0, HOUR), (10.0, HOUR)), protected=False)
    both = add_up([one, one])
    assert (both.nodes, both.pilot_time) == (2, 2 * one.pilot_time)
    assert both.thrown_cpu == {"owner": 2 * one.thrown_cpu["owner"]}
    assert add_up([]) == SimulationResult()


def test_of_squeezed_pilots_the_oldest_finish_instead_of_none() -> None:
    """Ten jobs of an hour, half done when the owner leaves one CPU of ten: one ends after another.

    If all got the same, the first would end after five hours more, and all at once.
    """
    half = HOUR / 2 + 0.5
    found = run(*owner((0.0, half), (9.0, 3 * HOUR)), jobs=read_lengths("fixed:3600"))
    assert found.finished >= 3
    assert found.owner_squeezed == 0.0


def test_a_rounding_error_below_zero_is_not_shown_as_minus_zero() -> None:
    result = SimulationResult(idle_cpu=900.0, unused_cpu=-1e-9)
    rows = {name: cells for name, *cells in list_rows({"configured": result})}
    assert rows["left idle"] == ["0.0%"]
