"""What a simulation says is what a real daemon does with the same owner and the same jobs."""

import signal
import time

import pytest

from plancton.config.model import Config
from plancton.model import HostFacts
from plancton.simulation.node import NodeSetup, simulate
from plancton.simulation.owner import parse_intervals
from plancton.simulation.queue import JobQueue, read_lengths, take_any
from tests.support.fake_node import GB
from tests.support.node_daemon import CONFIG, Node

#: Seconds: of a job, of the owner's work, and of the times in which the node is idle.  Each of
#: these leaves four seconds after its last whole job, for the time that a real start takes.
JOB, WORK, IDLE_TIMES = 8, 4, (20, 36, 28)
ALL_OF_IT = 10**15


@pytest.mark.long
def test_a_real_node_finishes_and_throws_away_what_the_simulation_says(node: Node) -> None:
    values = {
        "max_docks": 2, "docker_cmd": ["sleep", str(JOB)], "grace_spawn": 0, "stop_grace": 0,
        "main_sleep": 1,
    }  # fmt: skip
    facts = HostFacts("n", ncpus=2, ram_bytes=64 * GB, swap_bytes=0)
    at, words = 0, [f"0 {WORK}"]
    for idle in IDLE_TIMES:
        at += WORK + idle
        words.append(f"{at} {at + WORK}")
    config = Config.model_validate({**CONFIG, **values, "mem_reserve": GB})
    jobs = JobQueue(read_lengths(f"fixed:{JOB}"), 1, take_any, 1)
    spans = parse_intervals(facts)(" ".join(words), "here")
    said = simulate(spans, NodeSetup(config, facts, jobs, True, 10**6))
    # Two pilots; two, four and three whole jobs; one of each that does not end.
    assert (said.finished, said.evicted, said.started) == (18, 6, 24)

    node.configure(**values, mem_reserve=ALL_OF_IT)
    daemon = node.nodaemon()
    node.wait_for_daemon(daemon)
    for idle in IDLE_TIMES:
        node.configure(**values)
        daemon.send_signal(signal.SIGHUP)
        time.sleep(idle)  # the owner is away
        node.configure(**values, mem_reserve=ALL_OF_IT)
        daemon.send_signal(signal.SIGHUP)
        node.wait_for(0, daemon)
    log = node.log()
    done = tuple(log.count(words) for words in ("exit code 0", "is asked to end", " started\n"))
    assert done == (said.finished, said.evicted, said.started), log
