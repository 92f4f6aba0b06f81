"""Real RabbitMQ servers for tests, with their default configuration.

Each has its own node name, cookie, ports, port mapper and directories, on loopback unless it is in
a cluster (``rabbitmq_cluster.py``). A test
gets a virtual host of its own in a shared server, which takes milliseconds; a server of its own
(``make_rabbitmq``), which takes seconds, only to harm it.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tests.support.services.programs import Program, end_all_with, need, stop_process
from tests.support.waiting import wait_until

#: Debian's scripts in /usr/sbin change the user; these run as the user who calls them.
BIN = Path("/usr/lib/rabbitmq/bin")
#: A cold start on a busy machine.
START_SECONDS = 120.0
#: Virtual hosts made in one go: most of the cost is one call of rabbitmqctl.
_VHOSTS_AT_ONCE = 12


def free_port() -> int:
    """Return a port of loopback that is this process's for as long as it lives.

    A socket that does not listen stays bound to it: the kernel gives the port to no client, also
    while its server is down. Servers may listen there all the same, as they ask for the reuse of
    addresses.
    """
    mine = socket.socket()
    mine.bind(("127.0.0.1", 0))
    mine.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    port: int = mine.getsockname()[1]
    mine.detach()
    return port


@dataclass(frozen=True)
class VirtualHost:
    """``url`` is of a user who may do everything in it; ``port`` may be a proxy's."""

    server: RabbitServer
    name: str
    user: str
    password: str

    @property
    def url(self) -> str:
        return self.url_at(self.server.port)

    def url_at(self, port: int, scheme: str = "amqp", host: str = "127.0.0.1") -> str:
        return (
            f"{scheme}://{quote(self.user, '')}:{quote(self.password, '')}@{host}:{port}/"
            f"{quote(self.name, '')}"
        )


@dataclass(frozen=True)
class Place:
    """Where a server runs: on loopback, or in a network namespace as a node of a cluster.

    ``mapper_port`` and ``cookie`` are those of the cluster; "": its own. ``erlang``: options of the
    server's virtual machine.
    """

    address: str = "127.0.0.1"
    namespace: str = ""
    mapper_port: str = ""
    cookie: str = ""
    erlang: str = ""

    def lead(self, command: list[str]) -> list[str]:
        """Return the command that runs ``command`` there, as the same process."""
        enter = ["nsenter", f"--net=/run/netns/{self.namespace}"] if self.namespace else []
        return [*enter, *command]


class RabbitServer:
    """One server. ``configuration`` is rabbitmq.conf: empty where nobody wrote one."""

    def __init__(
        self, directory: Path, configuration: str = "", place: Place | None = None
    ) -> None:
        need("rabbitmq")
        self.directory, self._place = directory, place or Place()
        self.port = free_port()
        self.tls_port = free_port()
        self.address = self._place.address
        host = self.address if self._place.namespace else "localhost"
        self.node = f"test-{os.getpid()}-{self.port}@{host}"
        self.log = directory / "rabbitmq.log"
        self._configuration = configuration
        self._server: Program | None = None
        self._mapper: Program | None = None
        self._vhosts: list[VirtualHost] = []
        self._count = itertools.count(1)
        self._environment = {
            "HOME": str(directory),
            "ERL_EPMD_ADDRESS": self.address,
            "ERL_EPMD_PORT": self._place.mapper_port or str(free_port()),
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_USE_LONGNAME": str(bool(self._place.namespace)).lower(),
            "RABBITMQ_NODE_IP_ADDRESS": self.address,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": self._place.erlang,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CTL_DIST_PORT_MIN": "36000",
            "RABBITMQ_CTL_DIST_PORT_MAX": "39999",
            "RABBITMQ_MNESIA_BASE": str(directory / "data"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(directory / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
            # the script then becomes the virtual machine: its process is ours to signal
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    # --- life -------------------------------------------------------------------------

    def up(self) -> None:
        """Start it and wait until it answers; the same ports and data each time."""
        assert self._server is None
        (self.directory / "rabbitmq.conf").write_text(
            self._configuration.format(tls_port=self.tls_port, directory=self.directory)
        )
        # one cookie for the server and its commands, before both would make one
        cookie = self.directory / ".erlang.cookie"
        if not cookie.exists():
            cookie.write_text(self._place.cookie or f"cookie{self.port}")
            cookie.chmod(0o400)
        if self._mapper is None:
            port = self._environment["ERL_EPMD_PORT"]
            mapper = self._place.lead(["epmd", "-port", port])
            self._mapper = Program(mapper, self.log, self._environment)
        server = self._place.lead([str(BIN / "rabbitmq-server")])
        self._server = Program(server, self.log, self._environment)
        wait_until(self.answers, "RabbitMQ to answer", timeout=START_SECONDS, state=self.said)

    def answers(self) -> bool:
        assert self._server is not None
        assert self._server.process.poll() is None, self.said()
        with socket.socket() as door:
            door.settimeout(1.0)
            try:
                door.connect((self.address, self.port))
                door.sendall(b"AMQP\0\0\x09\x01")
                return bool(door.recv(1))
            except OSError:
                return False

    @property
    def pid(self) -> int:
        assert self._server is not None
        return self._server.pid

    def settle(self) -> None:
        """Write down which queues there are: those made within seconds do not survive a kill."""
        self.evaluate("[dets:sync(Table) || Table <- dets:all()].")

    def stop(self) -> None:
        """As an admin would: it closes its connections and writes everything down."""
        assert self._server is not None
        self._server.end(60.0)
        self._server = None

    def kill(self) -> None:
        assert self._server is not None
        self._server.signal(signal.SIGKILL)
        self._server.process.wait()
        self._server = None

    def hang(self) -> None:
        """Stop all of it; its connections stay open."""
        stop_process(self.pid)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def fill_memory(self) -> None:
        """Raise the memory alarm: it reads nothing more from those who publish."""
        self.ctl("set_vm_memory_high_watermark", "absolute", "1MB")

    def free_memory(self) -> None:
        self.ctl("set_vm_memory_high_watermark", "0.8")

    def fill_disk(self) -> None:
        """Let less space be free than it needs."""
        self.ctl("set_disk_free_limit", "9000000GB")

    def free_disk(self) -> None:
        """End ``fill_disk``."""
        self.ctl("set_disk_free_limit", "50MB")

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]

    def clean(self) -> None:
        for program in (self._server, self._mapper):
            if program is not None:
                program.end()
        end_all_with(self.directory)  # the virtual machine's own children
        shutil.rmtree(self.directory, ignore_errors=True)

    # --- administration ---------------------------------------------------------------

    def ctl(self, *arguments: str) -> str:
        """Return what ``rabbitmqctl`` prints; a second or two."""
        done = subprocess.run(
            self._place.lead([str(BIN / "rabbitmqctl"), "-q", *arguments]),
            env={**os.environ, **self._environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"rabbitmqctl {arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def evaluate(self, erlang: str) -> str:
        """Return the value of an Erlang expression inside the server."""
        return self.ctl("eval", erlang)

    def vhost(self) -> VirtualHost:
        """Return a new virtual host with a user of its own."""
        if not self._vhosts:
            self._make_vhosts()
        return self._vhosts.pop()

    def _make_vhosts(self) -> None:
        names = [f"t{next(self._count)}" for _ in range(_VHOSTS_AT_ONCE)]
        binaries = ",".join(f'<<"{name}">>' for name in names)
        self.evaluate(
            "lists:foreach(fun(Name) ->"
            ' rabbit_vhost:add(Name, <<"tests">>),'
            ' rabbit_auth_backend_internal:add_user(Name, <<"secret-", Name/binary>>,'
            ' <<"tests">>),'
            " rabbit_auth_backend_internal:set_permissions("
            ' Name, Name, <<".*">>, <<".*">>, <<".*">>, <<"tests">>)'
            f" end, [{binaries}]), ok."
        )
        self._vhosts = [VirtualHost(self, name, name, f"secret-{name}") for name in names]

    def add_user(self, user: str, password: str, *permissions: str, vhost: str = "/") -> None:
        """``permissions``: configure, write and read patterns, if any."""
        self.ctl("add_user", user, password)
        if permissions:
            self.ctl("set_permissions", "-p", vhost, user, *permissions)
