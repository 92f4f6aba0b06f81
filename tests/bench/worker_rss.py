"""What a pilot costs that has nothing to do."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.waiting import wait_until
from thyme.broker import connect

from .amqp_site import POOL, AmqpSite, amqp_site
from .result import Result

GOAL = 32.0
#: Seconds that the pilot whose CPU time is measured waits for work.
TIMEOUT = 10


def worker_rss() -> Result:
    """Resident MB of a worker that waits for a job; CPU seconds of one that found none."""
    with amqp_site() as site:
        site.start_worker("worker", "--timeout=600", "--heartbeat=1")
        wait_until(lambda: waiting(site) == 1, "the worker to wait", timeout=60.0)
        cpu = cpu_of_a_vain_pilot(site)
        # by now it has also sent word that it waits, several times
        value = resident(site.running["worker"].pid)
    bare = subprocess.Popen([sys.executable, "-I", "-c", "input()"], stdin=subprocess.PIPE)
    wait_until(lambda: resident(bare.pid) > 5, "an interpreter")
    reference = resident(bare.pid)
    bare.communicate(b"\n")
    return Result(
        what=f"resident memory of an idle worker on RabbitMQ (a pilot that finds nothing for "
        f"{TIMEOUT} s takes {cpu:.2f} s of CPU)",
        value=value,
        unit="MB",
        reference=f"{reference:.3g} MB, Python alone",
        ratio=value / reference,
        goal=f"<= {GOAL:g} MB",
        met=value <= GOAL,
    )


def waiting(site: AmqpSite) -> int | None:
    transport = connect(site.url)
    try:
        return transport.get_queue_state(POOL).consumers
    finally:
        transport.close()


def resident(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def cpu_of_a_vain_pilot(site: AmqpSite) -> float:
    site.start_worker("vain", f"--timeout={TIMEOUT}")
    process = site.running.pop("vain")
    _pid, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 3, (site.root / "vain.log").read_text()
    return used.ru_utime + used.ru_stime
