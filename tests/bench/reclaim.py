"""How soon the owner has the memory that pilots held."""

import subprocess
import sys
import time

from plancton.node.sensors import ProcSensors
from tests.support.waiting import wait_until

from .container_node import ContainerNode, container_node
from .result import Result

#: Of the node's memory.
OWNER_SHARE = 0.7
PILOTS = 16
GOAL = 2.0
_RESERVE = 1_000_000_000
_MB = 1 << 20
#: Takes memory in steps of 64 MB, says so when it has it, and holds it until told to end.
_OWNER = """
import mmap, sys
size, step = int(sys.argv[1]), 64 << 20
held = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
zeros = bytes(step)
for at in range(0, size, step):
    held[at:min(size, at + step)] = zeros[:min(size, at + step) - at]
print("taken", flush=True)
sys.stdin.read()
"""


def reclaim() -> Result:
    """Seconds that the owner waits for 70 % of the memory, beyond what taking it takes alone."""
    sensors = ProcSensors()
    size = int(OWNER_SHARE * sensors.read_facts().ram_bytes)
    with container_node() as node:
        alone = seconds_to_take(size, sensors)
        free = sensors.read_available_memory() or 0
        each = (free - _RESERVE) // (PILOTS + 1) // _MB
        node.configure(
            max_docks=PILOTS,
            mem_reserve=_RESERVE,
            max_dock_mem=each * _MB,
            docker_cmd=["sh", "-c", holding((each - 60) * _MB)],
        )
        node.up()
        node.wait_for(PILOTS)
        full = PILOTS * (each - 100) * _MB
        wait_until(lambda: pilots_hold(node) > full, "pilots to fill the memory", 120.0, node.said)
        shared = seconds_to_take(size, sensors)
        left = len(node.running())
    waited = shared - alone
    return Result(
        what=f"the owner takes {OWNER_SHARE:.0%} of {sensors.read_facts().ram_bytes / 1e9:.0f} GB "
        f"that pilots filled ({PILOTS} pilots before, {left} after): waits for it",
        value=waited,
        unit="s",
        reference=f"{alone:.3g} s to take it alone",
        ratio=shared / alone,
        goal=f"<= {GOAL:g} s longer, never OOM-killed",
        met=waited <= GOAL,
    )


def holding(size: int) -> str:
    """Return a shell command that holds ``size`` bytes until it is ended."""
    return f"(head -c {size} /dev/zero; exec sleep 3600) | tail -c {size}"


def pilots_hold(node: ContainerNode) -> int:
    asked = time.monotonic()
    node.look()
    wait_until(lambda: node.status().get("looked", 0.0) >= asked, "a look", state=node.said)
    return int((node.status().get("host") or {}).get("pilots_mem") or 0)


def seconds_to_take(size: int, sensors: ProcSensors) -> float:
    """Until the owner holds it and the reserve is there again; fails if it was killed."""
    begin = time.monotonic()
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(size)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdin is not None and owner.stdout is not None
    try:
        said = owner.stdout.readline()
        assert said == "taken\n", f"the owner's program was killed: {owner.wait()}"
        wait_until(
            lambda: (sensors.read_available_memory() or 0) >= _RESERVE,
            "the reserve to be free again",
            timeout=60.0,
            state=sensors.read_available_memory,
        )
        return time.monotonic() - begin
    finally:
        owner.stdin.close()
        owner.wait()
        owner.stdout.close()
