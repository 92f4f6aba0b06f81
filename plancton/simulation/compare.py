"""Simulate the configured rules, those of 2017, and one who knows the future, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from plancton.config.model import Config

from .foresight import simulate_foresight
from .node import NodeSetup, simulate
from .owner import Span
from .queue import draw_endless, take_any
from .report import FirstDay
from .result import SimulationResult, add_up

CONFIGURED, OF_2017, FORESIGHT = "configured", "rules of 2017", "knowing the future"
#: Pilots that Plancton 0.6 started in one loop where the key was not written.
_DOCKS_PER_LOOP = 4


@dataclass(frozen=True)
class Comparison:
    """The results and the first node's pictures, by what was simulated."""

    results: dict[str, SimulationResult]
    pictures: dict[str, FirstDay]


def make_config_of_2017(config: Config) -> Config:
    """Return the configuration as Plancton 0.6 understood it, with its defaults written."""
    return config.model_copy(
        update={
            "docks_per_loop": config.docks_per_loop or _DOCKS_PER_LOOP,
            "max_ttl": config.max_ttl,
            "lifetime_confidence": 0.0,
        }
    )


def compare(nodes: Iterable[Sequence[Span]], setup: NodeSetup) -> Comparison:
    """Return what the nodes gave: ``nodes`` are what each one's owner used.

    The queue of ``setup`` is made again for each node.  Who knows the future has no use for jobs
    that never end.
    """
    jobs = setup.queue
    found: dict[str, list[SimulationResult]] = {CONFIGURED: [], OF_2017: []}
    if jobs.lengths is not draw_endless:
        found[FORESIGHT] = []
    pictures: dict[str, FirstDay] = {}
    room = max(0, setup.facts.ram_bytes - setup.config.mem_reserve)
    fitting = room // max(1, setup.job_memory)
    of_2017 = replace(setup, config=make_config_of_2017(setup.config), protected=False)
    for number, spans in enumerate(nodes):
        for name, one, claim in (
            (CONFIGURED, setup, jobs.claim),
            (OF_2017, of_2017, take_any),
        ):
            queue = jobs.renew(number, claim)
            day = FirstDay() if number == 0 else None
            found[name].append(
                simulate(spans, replace(one, queue=queue), day.take if day is not None else None)
            )
            if day is not None:
                pictures[name] = day
        if FORESIGHT in found:
            queue = jobs.renew(number, take_any)
            found[FORESIGHT].append(
                simulate_foresight(
                    spans,
                    setup.facts,
                    setup.config.cpus_per_dock,
                    queue,
                    setup.protected,
                    fitting,
                )
            )
    return Comparison({name: add_up(values) for name, values in found.items()}, pictures)
