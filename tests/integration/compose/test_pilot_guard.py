"""compose/pilot_guard.sh with packets: what a pilot reaches of a cloud, and what others do."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.setup.needs import needs
from tests.support.services.programs import Program, which
from tests.support.waiting import wait_until

pytestmark = pytest.mark.root
GUARD = Path(__file__).parents[3] / "compose/pilot_guard.sh"

PILOTS, PILOT, MACHINE, NEIGHBOUR = "172.30.0.0/24", "172.30.0.2", "172.30.0.1", "10.9.0.2"
#: Where clouds offer a machine's credentials: most of them; AWS's containers, Tencent, Alibaba,
#: Azure, Oracle.
METADATA = (
    "169.254.169.254", "169.254.170.2", "169.254.0.23", "100.100.100.200", "168.63.129.16",
    "192.0.0.192",
)  # fmt: skip
#: Of a network for documentation: any other address.
WORLD = "203.0.113.1"
#: Answers at every address of its network, over TCP and UDP.
CLOUD = """
import select, socket
listeners = []
for kind, port in ((socket.SOCK_STREAM, 80), (socket.SOCK_STREAM, 53), (socket.SOCK_DGRAM, 53)):
    one = socket.socket(socket.AF_INET, kind)
    one.bind(("", port))
    if kind == socket.SOCK_STREAM:
        one.listen(100)
    listeners.append(one)
print("listening", flush=True)
while True:
    for one in select.select(listeners, [], [])[0]:
        if one.type == socket.SOCK_STREAM:
            one.accept()[0].sendall(b"answer")
        else:
            one.sendto(b"answer", one.recvfrom(100)[1])
"""
#: Asks one address, and says what came of it.
ASK = """
import socket, sys
kind = socket.SOCK_STREAM if sys.argv[1] == "tcp" else socket.SOCK_DGRAM
one = socket.socket(socket.AF_INET, kind)
# the kernel refuses only so many a second, and is silent then
one.settimeout(float(sys.argv[4]))
try:
    if kind == socket.SOCK_DGRAM:
        one.sendto(b"?", (sys.argv[2], int(sys.argv[3])))
    else:
        one.connect((sys.argv[2], int(sys.argv[3])))
    print(one.recv(100).decode())
except OSError as error:
    print(error)
"""


class Machine:
    """A machine in a network of its own, with a pilot and a neighbour, in front of a cloud."""

    def __init__(self) -> None:
        self.names = {name: f"guard-{name}-{os.getpid()}" for name in NETWORKS}

    def inside(self, name: str, *command: str) -> str:
        argv = [f"--net=/run/netns/{self.names[name]}", *command]
        nsenter = which("nsenter")
        assert nsenter is not None
        done = subprocess.run([nsenter, *argv], capture_output=True, text=True, check=False)
        assert not done.returncode, done
        return done.stdout.strip()

    def ask(self, name: str, protocol: str, address: str, port: int, seconds: float = 60.0) -> str:
        what = (protocol, address, str(port), str(seconds))
        return self.inside(name, sys.executable, "-c", ASK, *what)

    def guard(self, log: Path) -> Program:
        command = ["nsenter", f"--net=/run/netns/{self.names['machine']}", *AS_IN_IMAGE]
        return Program([*command, f"exec sh {GUARD}"], log, {"PILOT_SUBNET": PILOTS})

    def is_guarded(self) -> bool:
        program = f"PILOT_SUBNET={PILOTS} sh {GUARD} check && echo yes || true"
        return self.inside("machine", *AS_IN_IMAGE, program) == "yes"

    def rules(self) -> str:
        return self.inside("machine", "ip", "-4", "rule", "show")


#: The image of the guard has no names of protocols.
AS_IN_IMAGE = (
    "unshare", "--mount", "sh", "-c",
    '[ ! -e /etc/protocols ] || mount --bind /dev/null /etc/protocols; eval "$0"',
)  # fmt: skip
NETWORKS = ("machine", "pilot", "neighbour", "cloud")


def ip(*argv: str) -> None:
    program = which("ip")
    assert program is not None
    subprocess.run([program, *argv], check=True, capture_output=True)


def wire(machine: Machine, name: str, near: str, far: str) -> None:
    there, here = machine.names[name], machine.names["machine"]
    ip("-n", here, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", there)
    for space, link, address in ((here, name, near), (there, "eth0", far)):
        ip("-n", space, "address", "add", f"{address}/24", "dev", link)
        ip("-n", space, "link", "set", link, "up")
    ip("-n", there, "route", "add", "default", "via", near)


@pytest.fixture(scope="module")
@needs("routing")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    made = Machine()
    with ExitStack() as stack:
        for name in made.names.values():
            ip("netns", "add", name)
            stack.callback(ip, "netns", "del", name)
            ip("-n", name, "link", "set", "lo", "up")
        wire(made, "pilot", MACHINE, PILOT)
        wire(made, "neighbour", "10.9.0.1", NEIGHBOUR)
        wire(made, "cloud", "203.0.113.2", WORLD)
        made.inside("machine", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        ip("-n", made.names["machine"], "route", "add", "default", "via", WORLD)
        for address in METADATA:
            ip("-n", made.names["cloud"], "address", "add", f"{address}/32", "dev", "lo")
        cloud = Program(
            ["nsenter", f"--net=/run/netns/{made.names['cloud']}", sys.executable, "-c", CLOUD],
            tmp_path_factory.mktemp("cloud") / "log",
        )
        stack.callback(cloud.end)
        wait_until(lambda: "listening" in cloud.said(), "the cloud", state=cloud.said)
        yield made


@pytest.fixture(scope="module")
def guard(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    for address in METADATA:
        assert machine.ask("pilot", "tcp", address, 80) == "answer", "nothing else keeps it away"
    program = machine.guard(tmp_path_factory.mktemp("guard") / "log")
    wait_until(machine.is_guarded, "the guard", state=program.said)
    yield program
    program.end()
    assert machine.rules().count("\n") == 2, "only the kernel's own three rules are left"


@pytest.mark.parametrize("address", METADATA)
def test_a_pilot_reaches_no_metadata_service(
    machine: Machine, guard: Program, address: str
) -> None:
    said = machine.ask("pilot", "tcp", address, 80, seconds=3.0)
    assert said in ("[Errno 113] No route to host", "timed out")
    assert machine.ask("neighbour", "tcp", address, 80) == "answer", "the machine's others do"


@pytest.mark.parametrize("address", ["168.63.129.16", "169.254.169.254"])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_pilot_reaches_the_name_server_at_the_same_address(
    machine: Machine, guard: Program, protocol: str, address: str
) -> None:
    assert machine.ask("pilot", protocol, address, 53) == "answer"


def test_a_pilot_reaches_the_rest_of_the_world(machine: Machine, guard: Program) -> None:
    assert machine.ask("pilot", "tcp", WORLD, 80) == "answer"
    assert machine.ask("pilot", "udp", WORLD, 53) == "answer"


REMOVALS: list[Callable[[Machine], str]] = [
    lambda machine: machine.inside("machine", "ip", "-4", "rule", "del", "pref", "5168"),
    lambda machine: machine.inside("machine", "ip", "-4", "rule", "del", "pref", "5169"),
    lambda machine: machine.inside("machine", "ip", "-4", "rule", "del", "pref", "5170"),
]


@pytest.mark.parametrize("remove", REMOVALS, ids=["names", "guard", "last"])
def test_a_rule_that_somebody_removed_is_noticed_and_made_again(
    machine: Machine, guard: Program, remove: Callable[[Machine], str]
) -> None:
    # it looks by itself every few seconds
    os.killpg(guard.pid, signal.SIGSTOP)
    try:
        remove(machine)
        assert not machine.is_guarded()
    finally:
        os.killpg(guard.pid, signal.SIGCONT)
    wait_until(machine.is_guarded, "the guard makes it again", state=machine.rules)
    assert machine.rules().count("\n") == 2 + 2 + 4 + 1
