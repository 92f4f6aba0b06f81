"""How soon a pilot that ended is replaced."""

import os
import signal
import statistics
import time

from tests.support.waiting import wait_until

from .container_node import PLAIN, ContainerNode, container_node
from .result import Result

PILOTS = 8
TIMES = 15
GOAL = 1.3


def refill() -> Result:
    """From a pilot's end to its replacement that runs, by one plain create and start."""
    with container_node() as node:
        node.configure(max_docks=PILOTS, quick_death=0)
        node.up()
        node.wait_for(PILOTS)
        one_plain(node)
        one_replaced(node)
        plain, ours = [], []
        for _ in range(TIMES):
            plain.append(one_plain(node))
            ours.append(one_replaced(node))
    reference, value = statistics.median(plain), statistics.median(ours)
    return Result(
        what=f"a pilot's end to its replacement running, median of {TIMES}, {PILOTS} pilots",
        value=value,
        unit="s",
        reference=f"{reference:.3g} s, one plain create and start",
        ratio=value / reference,
        goal=f"<= {GOAL} of it",
        met=value / reference <= GOAL,
    )


def one_plain(node: ContainerNode) -> float:
    begin = time.time()
    made = node.plain()
    took = node.started(PLAIN)[made] - begin
    node.clear(PLAIN)
    return took


def one_replaced(node: ContainerNode) -> float:
    before = node.started()
    victim = node.running()[0]["pid"]
    begin = time.time()
    os.kill(victim, signal.SIGKILL)

    def replaced() -> set[str]:
        running = node.running()
        if len(running) < PILOTS or victim in {pilot["pid"] for pilot in running}:
            return set()
        return set(node.started()) - set(before)

    (fresh,) = wait_until(replaced, "a replacement", state=node.said)
    return node.started()[fresh] - begin
