"""A real daemon learns how long its node's idle periods last, remembers it, and tells pilots."""

import json
import signal

from tests.support.node_daemon import Node
from tests.support.waiting import wait_until

#: More than any node has: as if the owner took all memory.
ALL_OF_IT = 10**15
TELLS = "cat $JOBFEATURES/wall_limit_secs $PLANCTON_LIFE; exec sleep 600"
COMMAND = ["sh", "-c", TELLS]


def test_a_pilot_reads_until_when_it_may_live(node: Node) -> None:
    (name,) = node.fill(1, max_docks=1, docker_cmd=COMMAND, max_ttl=3600)
    output = node.rundir / "pilots" / name / "output"
    wait_until(lambda: output.read_text().count("\n") == 2, "what it was told", state=node.log)
    life, until = map(int, output.read_text().split())
    began = int((output.parent / "features/jobfeatures/jobstart_secs").read_text())
    assert life == 3600
    assert until == began + 3600
    assert "is told 1 h: max_ttl." in node.ctl("explain").stdout


def test_six_returns_of_the_owner_are_learned_and_remembered(node: Node) -> None:
    config = {"max_docks": 1, "docker_cmd": ["sleep", "600"], "grace_spawn": 0, "stop_grace": 0}
    node.configure(**config)
    daemon = node.nodaemon()
    assert node.wait_for(1, daemon)
    assert "is not known: 0 of the 5 idle periods that are needed" in node.ctl("explain").stdout
    for _ in range(6):
        node.configure(**config, mem_reserve=ALL_OF_IT)
        assert node.ctl("reload").returncode == 0
        node.wait_for(0, daemon)
        node.configure(**config)
        assert node.ctl("reload").returncode == 0
        node.wait_for(1, daemon)
    # Each lasted for seconds: the least is told.
    told = "A pilot that starts now is told 2 min: the least that is told (lifetime_min)."
    wait_until(lambda: told in node.ctl("explain").stdout, "a lesson", state=node.log)

    daemon.send_signal(signal.SIGTERM)
    daemon.wait()
    record = json.loads((node.rundir / "state" / "idle-periods.json").read_text())
    assert 5.9 < record["ends"] <= 6.0
    again = node.nodaemon()
    node.wait_for(1, again)
    wait_until(lambda: told in node.ctl("explain").stdout, "what was learned", state=node.log)
