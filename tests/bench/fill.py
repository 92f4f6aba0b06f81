"""How fast an idle node is filled."""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor

from .container_node import PLAIN, ContainerNode, container_node
from .result import Result

PILOTS = 24
ROUNDS = 4
#: The plain loop is tried with each of these, and the best counts.
PARALLEL = (2, 4, 8)
GOAL = 0.9


def fill() -> Result:
    """From "the node may be used" to 24 sleepers that run, by a plain parallel loop."""
    ours: list[float] = []
    plain: dict[int, list[float]] = {parallel: [] for parallel in PARALLEL}
    with container_node() as node:
        node.configure(max_docks=PILOTS, quick_death=0)
        node.up(drained=True)
        by_plancton(node)  # everything imported, every cache warm
        for _ in range(ROUNDS):
            for parallel in PARALLEL:
                plain[parallel].append(by_hand(node, parallel))
                ours.append(by_plancton(node))
    best = max(PARALLEL, key=lambda parallel: statistics.median(plain[parallel]))
    reference, value = statistics.median(plain[best]), statistics.median(ours)
    ratio = value / reference
    return Result(
        what=f"an idle node filled with {PILOTS} sleeping containers",
        value=value,
        unit="starts/s",
        reference=f"{reference:.4g} starts/s, a plain loop of {best} at once "
        f"(best of {', '.join(map(str, PARALLEL))})",
        ratio=ratio,
        goal=f">= {GOAL} of the loop",
        met=ratio >= GOAL,
    )


def by_plancton(node: ContainerNode) -> float:
    """Return the containers that Plancton starts a second."""
    begin = time.time()
    node.resume()
    node.wait_for(PILOTS)
    last = max(node.started().values())
    node.drain()
    node.clear("plancton.node")
    node.wait_for(0)
    return PILOTS / (last - begin)


def by_hand(node: ContainerNode, parallel: int) -> float:
    begin = time.time()
    with ThreadPoolExecutor(parallel) as pool:
        list(pool.map(lambda _: node.plain(), range(PILOTS)))
    last = max(node.started(PLAIN).values())
    node.clear(PLAIN)
    return PILOTS / (last - begin)
