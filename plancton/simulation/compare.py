"""Simulate the configured rules, those of 2017, and one who knows the future, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from plancton.config.model import Config

from .foresight import simulate_foresight
from .node import NodeSetup, simulate
from .owner import Span
from .queue import JobQueue, Lengths, take_any
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


def compare(
    nodes: Iterable[Sequence[Span]],
    setup: NodeSetup,
    lengths: Lengths | None,
    waiting: int,
    seed: int,
) -> Comparison:
    """Return what the nodes gave.

    Args:
        nodes: what each one's owner used.
        setup: the configured rules; its queue is made again for each node.
        lengths: of the jobs; None: they never end.
        waiting: how many jobs a pilot may choose from.
        seed: of the jobs' lengths.
    """
    found: dict[str, list[SimulationResult]] = {CONFIGURED: [], OF_2017: []}
    if lengths is not None:
        found[FORESIGHT] = []
    pictures: dict[str, FirstDay] = {}
    of_2017 = replace(setup, config=make_config_of_2017(setup.config), protected=False)
    for number, spans in enumerate(nodes):
        for name, one, claim in (
            (CONFIGURED, setup, setup.queue.claim),
            (OF_2017, of_2017, take_any),
        ):
            queue = JobQueue(setup.queue.lengths, waiting, claim, seed + number)
            day = FirstDay() if number == 0 else None
            found[name].append(
                simulate(spans, replace(one, queue=queue), day.take if day is not None else None)
            )
            if day is not None:
                pictures[name] = day
        if lengths is not None:
            queue = JobQueue(lengths, waiting, take_any, seed + number)
            found[FORESIGHT].append(
                simulate_foresight(
                    spans, setup.facts, setup.config.cpus_per_dock, queue, setup.protected
                )
            )
    return Comparison({name: add_up(values) for name, values in found.items()}, pictures)
