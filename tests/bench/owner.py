"""How fast the owner's own programs are while pilots use every core."""

import os
import statistics
import subprocess
import sys

from .container_node import BUSY, PLAIN, ContainerNode, container_node
from .result import Result

ROUNDS = 3
SECONDS = 4
GOAL = 0.99
CPUS = os.cpu_count() or 1
#: Hashes the same megabyte for SECONDS and says how often.
_WORK = f"""
import hashlib, time
block, done, end = bytes(1 << 20), 0, time.monotonic() + {SECONDS}
while time.monotonic() < end:
    hashlib.sha256(block).digest()
    done += 1
print(done)
"""


def owner_speed() -> Result:
    """Divide the owner's speed beside two busy pilots a core by his speed alone."""
    alone, shared, of_2017 = [], [], []
    with container_node() as node:
        node.configure(max_docks=2 * CPUS, docker_cmd=BUSY)
        owner()
        for _ in range(ROUNDS):
            alone.append(owner())
            node.up()
            node.wait_for(2 * CPUS)
            shared.append(owner())
            node.down()
        alone.append(owner())
        of_2017.append(with_the_settings_of_2017(node))
    reference = statistics.median(alone)
    # Each with its two neighbours in time, as these machines drift.
    ratio = statistics.median(2 * mine / (alone[n] + alone[n + 1]) for n, mine in enumerate(shared))
    old = of_2017[0] / reference
    return Result(
        what=f"the owner on {CPUS} CPUs with {2 * CPUS} busy pilots",
        value=statistics.median(shared),
        unit="MB/s",
        reference=f"{reference:.4g} MB/s alone (settings of 2017: {old:.2f} of it)",
        ratio=ratio,
        goal=f">= {GOAL} of alone",
        met=ratio >= GOAL,
    )


def owner() -> float:
    """Megabytes hashed a second, on all CPUs together."""
    programs = [
        subprocess.Popen([sys.executable, "-c", _WORK], stdout=subprocess.PIPE, text=True)
        for _ in range(CPUS)
    ]
    return sum(int(program.communicate()[0]) for program in programs) / SECONDS


def with_the_settings_of_2017(node: ContainerNode) -> float:
    """Give each container a quota of one CPU, side by side with the owner's processes."""
    for _ in range(2 * CPUS):
        node.plain(command=BUSY, CgroupParent="", CpuPeriod=100_000, CpuQuota=100_000)
    try:
        return owner()
    finally:
        node.clear(PLAIN)
