"""Pilots of a site as containers of a real Docker engine, which is killed, too."""

import os
import signal
from contextlib import suppress
from pathlib import Path

from tests.support.process_site import LiveSite
from tests.support.real_docker import bind_python
from tests.support.services.engines import IMAGE, DockerService
from tests.support.services.fixtures import CGROUPS, remove_groups
from tests.support.waiting import wait_until

#: Bytes that a pilot may have: more than condor_submit asks for.
MEMORY = 200_000_000


class KillableDocker(DockerService):
    """A Docker engine that all rounds share."""

    def __init__(self, directory: Path) -> None:
        """Prepare one below ``directory``; nothing runs yet."""
        super().__init__(directory)
        self._group = f"plancton-chaos-{os.getpid()}"

    def up(self) -> None:
        """Start it, with the test image."""
        super().up()
        self.add_image(IMAGE)

    def serve(self, site: LiveSite) -> None:
        """Let the site's pilots be containers of it; they see the site's directory."""
        site.configure(
            engine="docker",
            docker_host=self.host,
            docker_image=IMAGE,
            docker_cmd=[*site.config["docker_cmd"], "--workdir=/tmp"],
            binds=[*bind_python(), f"{site.root}:{site.root}:rw"],
            # a broker on loopback is reached
            networks=["host"],
            # not the last in line on a machine that is never idle
            cgroup_parent=f"{self._group}/pilots",
            max_dock_mem=MEMORY,
        )

    def kill_daemon(self) -> None:
        """Kill -9 dockerd; its containers run on."""
        dockerd = self.programs[-1].process
        dockerd.kill()
        dockerd.wait()

    def start_again(self) -> None:
        """Start dockerd after ``kill_daemon``: it ends the containers that it finds."""
        self.start_dockerd()
        wait_until(self.answers, "dockerd to answer", state=self.said)

    def list_containers(self) -> list[str]:
        """Return the names of all containers, ended ones included."""
        client = self.client
        try:
            return [name for one in client.containers(all=True) for name in one["Names"]]
        finally:
            client.close()

    def clean(self) -> None:
        """Leave nothing of it.

        A dockerd that is killed in the middle of a start forgets the ``runc init`` that was to
        become the container's first process.
        """
        super().clean()
        for group in (CGROUPS / self._group, *CGROUPS.glob(f"*/{self._group}")):
            for file in group.rglob("cgroup.procs"):
                for pid in file.read_text().split():
                    with suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
        remove_groups(self._group)
