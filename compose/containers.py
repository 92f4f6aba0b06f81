"""Commands of Docker and of compose, of version 2 or 1.29."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compose.errors import SetupFailed, find_hint

#: Labels of compose, v1 and v2 alike.
_PROJECT, _SERVICE, _ONE_OFF = (
    f"com.docker.compose.{name}" for name in ("project", "service", "oneoff")
)
#: Plancton's label on its pilots, with the node's name.
_NODE = "plancton.node"


class Docker:
    """Runs docker and compose; ``directory`` is where the compose file is."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        if shutil.which("docker") is None:
            raise SetupFailed(
                "there is no `docker`: install Docker (https://docs.docker.com/engine/)"
            )
        done = self._run(["docker", "version", "--format", "{{.Server.Version}}"])
        if done.returncode:
            said = done.stderr.strip()
            raise SetupFailed(
                f"Docker does not answer: {find_hint(said) or said or 'is it started?'}"
            )
        self._compose = self._find_compose()

    def _find_compose(self) -> list[str]:
        for command in (["docker", "compose"], ["docker-compose"]):
            if shutil.which(command[0]) and self._run([*command, "version"]).returncode == 0:
                return command
        raise SetupFailed(
            "there is no compose: install docker-compose-plugin, or docker-compose 1.29"
        )

    def _run(self, command: Sequence[str], show: bool = False) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self._directory,
            stdin=subprocess.DEVNULL,
            stdout=None if show else subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    def compose(self, *arguments: str, show: bool = False) -> str:
        """Run a compose command; returns its output, or ``show``s it. Raises SetupFailed."""
        done = self._run([*self._compose, *arguments], show)
        if done.returncode:
            said = done.stderr.strip()
            advice = find_hint(said)
            raise SetupFailed(
                f"`{' '.join([*self._compose, *arguments])}` failed: "
                + (advice + "\n" if advice else "")
                + "\n".join(said.splitlines()[-5:])
            )
        return done.stdout or ""

    def docker(self, *arguments: str) -> str:
        """Run a docker command and return its output. Raises SetupFailed."""
        done = self._run(["docker", *arguments])
        if done.returncode:
            said = done.stderr.strip()
            raise SetupFailed(f"`docker {arguments[0]}` failed: {find_hint(said) or said}")
        return done.stdout

    def has_image(self, name: str) -> bool:
        """Return whether the image is on this machine."""
        return self._run(["docker", "image", "inspect", name]).returncode == 0

    def _inspect(self, *filters: str) -> list[dict[str, Any]]:
        options = [f"--filter=label={text}" for text in filters]
        names = self.docker("ps", "--all", "--quiet", "--no-trunc", *options).split()
        if not names:
            return []
        # it fails if a container has been removed meanwhile, and still prints the others
        done = self._run(["docker", "inspect", *names])
        found: list[dict[str, Any]] = json.loads(done.stdout or "[]")
        return found

    def services(self, project: str) -> dict[str, dict[str, Any]]:
        """Return the container of each service, as Docker describes it.

        Pilots whose image compose v2 built inherit the label of a service, but not ``oneoff``.
        """
        return {
            one["Config"]["Labels"][_SERVICE]: one
            for one in self._inspect(f"{_PROJECT}={project}")
            if one["Config"]["Labels"].get(_ONE_OFF) == "False"
        }

    def pilots(self, node: str) -> list[dict[str, Any]]:
        """Return Plancton's pilots on this machine."""
        return self._inspect(f"{_NODE}={node}")

    def read_last_lines(self, container: str, lines: int = 8) -> str:
        """Return the last lines of a container's output."""
        done = self._run(["docker", "logs", "--tail", str(lines), container])
        return (done.stdout + done.stderr).strip()
