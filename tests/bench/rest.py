"""What the daemon itself costs while nothing happens."""

import os
import time
from pathlib import Path

from .container_node import container_node
from .result import Result

PILOTS = 48
#: Two passes of the default timer and the glances in between (s).
SECONDS = 65.0
CPU_GOAL, RSS_GOAL = 0.003, 60e6


def daemon_rest() -> Result:
    """CPU and memory of the daemon with 48 sleepers, by one core."""
    with container_node() as node:
        node.configure(max_docks=PILOTS, quick_death=0)
        node.up()
        node.wait_for(PILOTS)
        assert node.process is not None
        pid = node.process.pid
        begin, used = time.monotonic(), cpu_seconds(pid)
        time.sleep(SECONDS)  # what is measured is this very time
        share = (cpu_seconds(pid) - used) / (time.monotonic() - begin)
        rss = resident(pid)
        assert len(node.running()) == PILOTS
    return Result(
        what=f"the daemon at rest with {PILOTS} pilots: CPU; {rss / 1e6:.1f} MB resident",
        value=share * 100,
        unit="% CPU",
        reference="one core",
        ratio=share,
        goal=f"<= {CPU_GOAL:.1%} of a core, <= {RSS_GOAL / 1e6:.0f} MB",
        met=share <= CPU_GOAL and rss <= RSS_GOAL,
    )


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024
