"""Three RabbitMQ servers that are one broker, each in a network of its own: links can be cut.

There is a link between each two of them, and one from the tests' own network to each.
"""

import json
import os
import subprocess
from contextlib import ExitStack
from itertools import permutations
from pathlib import Path
from urllib.parse import quote

from tests.setup.services import which
from tests.support.services.programs import need
from tests.support.services.rabbitmq import Place, RabbitServer, VirtualHost, free_port
from tests.support.waiting import wait_until

SIZE = 3
#: As docs/howto-broker.md has it, but that a silent node is given up within seconds.
_CONFIGURATION = "cluster_partition_handling = pause_minority\n"
_JOIN = """\
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.classic_config.nodes.1 = {first}
"""
_TICK = "-kernel net_ticktime 8"
_COORDINATOR = "{ok, M, _} = ra:members({rabbit_stream_coordinator, node()}), length(M)."
#: A network for measurements, which no host uses (RFC 2544).
_NETWORK = f"198.18.{os.getpid() % 250}"


def ip(*argv: str) -> None:
    """Run ``ip``, which must succeed."""
    program = which("ip")
    assert program is not None
    done = subprocess.run([program, *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {argv}: {done.stderr}"


class RabbitCluster:
    """``servers`` are its nodes."""

    def __init__(self, directory: Path) -> None:
        """Prepare three servers below ``directory``; none runs yet."""
        need("routing")
        self._stack = ExitStack()
        self._names = [f"mq{os.getpid()}-{number}" for number in range(SIZE)]
        self._addresses = [f"{_NETWORK}.{number + 1}" for number in range(SIZE)]
        self.servers: list[RabbitServer] = []
        mapper, cookie = str(free_port()), f"cookie{os.getpid()}"
        for number, (name, address) in enumerate(zip(self._names, self._addresses, strict=True)):
            place = directory / str(number)
            place.mkdir()
            join = _JOIN.format(first=self.servers[0].node) if self.servers else ""
            where = Place(address, name, mapper, cookie, _TICK)
            self.servers.append(RabbitServer(place, _CONFIGURATION + join, where))

    def up(self) -> None:
        """Start all, one after the other, and wait until each knows the others."""
        self._wire()
        for server in self.servers:
            server.up()
        for server in self.servers:
            self.wait_until_whole(server)

    def wait_until_whole(self, server: RabbitServer) -> None:
        """Wait until ``server`` sees all nodes."""
        wait_until(
            lambda: server.evaluate("length(rabbit_nodes:all_running()).").strip() == str(SIZE),
            "all nodes to be in the cluster",
            timeout=120.0,
            state=server.said,
        )

    def wait_for_streams(self) -> None:
        """Wait until streams depend on no single node: once there is one, half a minute."""
        wait_until(
            lambda: self.servers[0].evaluate(_COORDINATOR).strip() == str(SIZE),
            "the coordinator of streams on all nodes",
            timeout=120.0,
            state=self.servers[0].said,
        )

    def url(self, vhost: VirtualHost) -> str:
        """Return the URL of a virtual host, with all nodes."""
        hosts = ",".join(f"{server.address}:{server.port}" for server in self.servers)
        user, secret = quote(vhost.user, ""), quote(vhost.password, "")
        return f"amqp://{user}:{secret}@{hosts}/{quote(vhost.name, '')}"

    def find_leader(self, vhost: VirtualHost, queue: str) -> RabbitServer:
        """Return the server that leads a queue."""
        words = ("list_queues", "-p", vhost.name, "--formatter", "json", "name", "leader")
        rows = json.loads(self.servers[0].ctl(*words))
        (leader,) = (row["leader"] for row in rows if row["name"] == queue)
        return next(server for server in self.servers if server.node == leader)

    def cut(self, one: RabbitServer, other: RabbitServer) -> None:
        """Drop all that two nodes send each other; neither is told."""
        for here, there in permutations((one, other)):
            self._route(here, there, "blackhole")

    def mend(self, one: RabbitServer, other: RabbitServer) -> None:
        """End ``cut``."""
        for here, there in permutations((one, other)):
            self._route(here, there, "unicast")

    def clean(self) -> None:
        """End all."""
        for server in reversed(self.servers):
            server.clean()
        self._stack.close()

    def _route(self, here: RabbitServer, there: RabbitServer, kind: str) -> None:
        to = self.servers.index(there)
        link = ("dev", f"to{to}", "src", here.address) if kind == "unicast" else ()
        name = self._names[self.servers.index(here)]
        ip("-n", name, "route", "replace", kind, f"{there.address}/32", *link)

    def _wire(self) -> None:
        for name, address in zip(self._names, self._addresses, strict=True):
            ip("netns", "add", name)
            self._stack.callback(ip, "netns", "del", name)
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "address", "add", f"{address}/32", "dev", "lo")
        for number, name in enumerate(self._names):
            for other in range(number + 1, SIZE):
                near, far = f"to{other}", f"to{number}"
                peer = ("peer", "name", far, "netns", self._names[other])
                ip("-n", name, "link", "add", near, "type", "veth", *peer)
                ip("-n", name, "link", "set", near, "up")
                ip("-n", self._names[other], "link", "set", far, "up")
            door, address = name, self._addresses[number]
            ip("link", "add", door, "type", "veth", "peer", "name", "door", "netns", name)
            ip("link", "set", door, "up")
            ip("-n", name, "link", "set", "door", "up")
            ip("address", "add", f"{_NETWORK}.{200 + number}/32", "peer", address, "dev", door)
            back = ("dev", "door", "src", address)
            ip("-n", name, "route", "add", f"{_NETWORK}.{200 + number}/32", *back)
        for here, there in permutations(self.servers, 2):
            self._route(here, there, "unicast")
