"""A machine for a whole site: a Docker engine with bridges and a firewall in a network of its own.

The network is a namespace, so the real machine's interfaces and firewall are left as they are. It
leads to another one, "the world", where jobs report and where a cloud's metadata service answers.
What Docker stores is kept in build/site, so that images are copied there once.

Pilots run with ``cpu.idle`` in one test only: beside other tests they would not run at all.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import docker

from tests.support.services.engines import DockerService
from tests.support.services.image_builds import ROOT, BuiltImages
from tests.support.services.programs import Program, end_all_with, need, unmount_all_in
from tests.support.waiting import wait_until

KEPT = ROOT / "build" / "site"
#: Of the networks for documentation (RFC 5737): nobody's.
WORLD, MACHINE = "203.0.113.1", "203.0.113.2"
REPORTS_PORT = 7777
#: Names of our network namespaces begin so.
_MACHINE, _WORLD = "plancton-machine-", "plancton-world-"
#: The images of a site; its pilots are of EL9's.
USED = ("rabbitmq", "influxdb", "schedd", "vobox", "plancton", "worker-el9")
#: Where clouds tell a machine its credentials.
METADATA = "169.254.169.254"


class SiteEngine(DockerService):
    """``inside`` runs a command as the machine, in its network."""

    def __init__(self, directory: Path) -> None:
        need("site")
        super().__init__(directory)
        self.disk = KEPT
        self._machine, self._world = f"{_MACHINE}{os.getpid()}", f"{_WORLD}{os.getpid()}"
        self.reports = directory / "reports"
        self.reports.touch()
        self._outside: Program | None = None
        self._lock: IO[str] | None = None

    @contextmanager
    def running(self) -> Iterator[SiteEngine]:
        """One at a time, as what is stored is shared."""
        KEPT.mkdir(parents=True, exist_ok=True)
        with open(KEPT / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # of a session that was killed
            end_all_with(KEPT / "data")
            forget_networks()
            try:
                self._connect()
                self.up()
                self.empty()
                yield self
            finally:
                self.clean()

    def clean(self) -> None:
        try:
            if self.programs and self.answers():
                self.empty()
        finally:
            self.down()
            if self._outside is not None:
                self._outside.end()
            end_all_with(self.directory)
            unmount_all_in(self.directory)
            forget_networks()

    def start_dockerd(self) -> None:
        place = self.directory
        (place / "dockerd.pid").unlink(missing_ok=True)
        dockerd = Program(
            ["nsenter", f"--net=/run/netns/{self._machine}",
             "dockerd", "--host", self.host, "--containerd", str(place / "containerd.sock"),
             "--data-root", str(KEPT / "data"), "--exec-root", str(place / "exec"),
             "--pidfile", str(place / "dockerd.pid"), "--storage-driver=overlay2",
             "--log-level=warn"],
            place / "dockerd.log",
        )  # fmt: skip
        self.programs = [*self.programs[:1], dockerd]

    def inside(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["nsenter", f"--net=/run/netns/{self._machine}", *command],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def empty(self) -> None:
        """No container, no network and no volume is left of a site; images stay."""
        client = self.client
        try:
            while left := client.containers(all=True):
                # programs that start others are ended first
                left.sort(key=lambda one: "plancton.pilot" in one["Labels"])
                for one in left:
                    try:
                        client.remove_container(one["Id"], force=True, v=True)
                    except docker.errors.APIError as error:
                        # Plancton removes its own meanwhile
                        if error.status_code not in (404, 409):
                            raise
            client.prune_networks()
            for volume in client.volumes()["Volumes"] or []:
                client.remove_volume(volume["Name"], force=True)
        finally:
            client.close()

    def take(self, built: BuiltImages) -> None:
        """Copy the images that this engine does not have."""
        missing = [
            name
            for image, name in built.names.items()
            if image in USED and self._id(name) != built_id(built, name)
        ]
        if not missing:
            return
        with subprocess.Popen(
            ["docker", "--host", built.host, "save", *missing], stdout=subprocess.PIPE
        ) as save:
            subprocess.run(
                ["docker", "--host", self.host, "load", "--quiet"],
                stdin=save.stdout, check=True, capture_output=True, timeout=300,
            )  # fmt: skip
        assert save.returncode == 0
        client = self.client
        try:
            client.prune_images({"dangling": True})
        finally:
            client.close()

    def _id(self, name: str) -> str:
        client = self.client
        try:
            found = client.images(name)
            return str(found[0]["Id"]) if found else ""
        finally:
            client.close()

    # --- the network --------------------------------------------------------------------

    def _connect(self) -> None:
        near, far = f"m{os.getpid()}", f"w{os.getpid()}"
        for name in (self._machine, self._world):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("link", "add", near, "netns", self._machine, "type", "veth", "peer", "name", far,
           "netns", self._world)  # fmt: skip
        for name, link, address in ((self._machine, near, MACHINE), (self._world, far, WORLD)):
            ip("-n", name, "address", "add", f"{address}/24", "dev", link)
            ip("-n", name, "link", "set", link, "up")
        ip("-n", self._machine, "route", "add", "default", "via", WORLD)
        ip("-n", self._world, "address", "add", f"{METADATA}/32", "dev", "lo")
        program = Path(__file__).with_name("site_world.py")
        self._outside = Program(
            ["nsenter", f"--net=/run/netns/{self._world}", sys.executable, str(program),
             str(self.reports), f"{WORLD}:{REPORTS_PORT}", f"{METADATA}:80"],
            self.directory / "world.log",
        )  # fmt: skip
        wait_until(
            lambda: self.reaches(WORLD, REPORTS_PORT) and self.reaches(METADATA, 80),
            "the world to answer", state=self._outside.said,
        )  # fmt: skip

    def reaches(self, host: str, port: int) -> bool:
        """Whether the machine itself does."""
        script = f"exec 3<>/dev/tcp/{host}/{port}"
        return self.inside("timeout", "5", "bash", "-c", script).returncode == 0


def forget_networks() -> None:
    """Those of all sessions: only one may live."""
    for path in Path("/run/netns").glob("*"):
        if path.name.startswith((_MACHINE, _WORLD)):
            ip("netns", "delete", path.name)


def built_id(built: BuiltImages, name: str) -> str:
    client = built.engine.client
    try:
        return str(client.inspect_image(name)["Id"])
    finally:
        client.close()


def ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"


@contextmanager
def machine(built: BuiltImages) -> Iterator[SiteEngine]:
    """With the images on it; everything is gone afterwards but what it stored of them."""
    with (
        tempfile.TemporaryDirectory(prefix="site-") as place,
        SiteEngine(Path(place)).running() as engine,
    ):
        engine.take(built)
        yield engine
