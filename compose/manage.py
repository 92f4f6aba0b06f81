"""Start, stop and update a site with compose; ``make up`` and related targets run this.

Needs Docker, compose (v2 or 1.29) and the standard library of Python 3.9.

    python3 -m compose.manage up | down | secrets | update-workers TAG

Exit codes: 0 done, 1 failed (the text says why), 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compose import settings
from compose.atomic_files import write_file
from compose.containers import Docker
from compose.errors import SetupFailed
from compose.health import FAILED, find_unhealthy

DIRECTORY = Path(__file__).resolve().parents[1]
#: Services with our own images, whose names are in .env.
OWN = ("PLANCTON", "SCHEDD", "VOBOX", "INFLUXDB")
#: Seconds until all services must be healthy; RabbitMQ may take a minute on a slow disk.
HEALTH_TIMEOUT = 300.0
#: Seconds that pilots get to give their jobs back; the job of a killed one waits for its lease.
PILOT_GRACE = 60


class Site:
    """A site of docker-compose.yml in ``directory``."""

    def __init__(self, directory: Path, docker: Docker) -> None:
        self._directory, self._docker = directory, docker
        node = socket.gethostname().split(".")[0]
        self._settings = settings.read_env(directory, node, os.environ)

    def _value(self, key: str) -> str:
        return self._settings[key]

    @property
    def _worker(self) -> str:
        return f"{self._value('WORKER_IMAGE')}:{self._value('WORKER_TAG')}"

    def up(self) -> None:
        """Start everything and wait until it is healthy. Raises SetupFailed."""
        self._check_ports()
        self._get_images()
        self.secrets()
        print("starting; the first time takes a minute or two", flush=True)
        self._start("--remove-orphans")
        self._wait()
        self._print_next_steps()

    def secrets(self, *arguments: str) -> None:
        """Write the secrets that are missing in secrets/."""
        said = self._docker.compose("run", "--rm", "-T", "secrets", *arguments)
        lines = [line.split() for line in said.splitlines()]
        names = [Path(words[1]).name for words in lines if words[:1] in (["made"], ["changed"])]
        wrote = f"wrote {', '.join(f'secrets/{name}' for name in names)}"
        print(f"secrets: {wrote if names else 'nothing was missing'}")

    def down(self) -> None:
        """End the pilots, which give their jobs back, then all services; volumes are kept."""
        self._docker.compose("stop", "plancton")
        pilots = [one["Id"] for one in self._docker.pilots(self._value("NODE_NAME"))]
        if pilots:
            print(f"ending {len(pilots)} pilots; their jobs are queued again")
            self._docker.docker("stop", f"--time={PILOT_GRACE}", *pilots)
            self._docker.docker("rm", "--force", "--volumes", *pilots)
        self._docker.compose("down", "--remove-orphans")
        print("down; what is stored is kept (docker volume ls)")

    def update_workers(self, tag: str) -> None:
        """Let new pilots run the version ``tag``; running ones end by themselves."""
        if "WORKER_TAG" in os.environ:
            raise SetupFailed("WORKER_TAG in the environment wins over .env: unset it")
        path = self._directory / ".env"
        before, old = path.read_text(), self._worker
        write_file(path, settings.replace_value(before, "WORKER_TAG", tag).encode(), 0o644)
        self._settings["WORKER_TAG"] = tag
        try:
            self._get_image("worker", self._worker, again=True)
            self._start("--no-deps", "plancton")
        except SetupFailed:
            write_file(path, before.encode(), 0o644)
            raise
        self._wait()
        print(f"new pilots run {self._worker}; those with {old} end by themselves")

    # --- images and ports -------------------------------------------------------------

    def _get_images(self) -> None:
        for name in OWN:
            self._get_image(name.lower(), self._value(f"{name}_IMAGE"))
        self._get_image("worker", self._worker)
        self._get_image("rabbitmq", self._value("RABBITMQ_IMAGE"), own=False)

    def _get_image(self, service: str, image: str, again: bool = False, own: bool = True) -> None:
        """Build or pull an image that is missing. Raises SetupFailed.

        ``again``: also if it exists; ``own``: false for one that cannot be built here.
        """
        how = self._value("IMAGES")
        there = self._docker.has_image(image)
        if how == "local" and not there:
            raise SetupFailed(f"there is no image {image} here, and .env says IMAGES=local")
        if how == "local" or (there and not again):
            return
        if not own:
            how = "pull"
        print(f"{how} {image}", flush=True)
        self._docker.compose(how, service, show=True)

    def _check_ports(self) -> None:
        """Check ports before anything is started; not for a Docker engine on another machine."""
        if os.environ.get("DOCKER_HOST", "unix://").partition("://")[0] != "unix":
            return
        running = self._docker.services(self._value("COMPOSE_PROJECT_NAME"))
        for service, key in self._list_published_ports():
            address, _, port = self._value(key).rpartition(":")
            if service in running:
                continue
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with socket.socket(family) as door:
                door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    door.bind((address.strip("[]") or "0.0.0.0", int(port)))  # noqa: S104
                except OSError as error:
                    raise SetupFailed(
                        f"{service} cannot listen on {self._value(key)} ({error.strerror}): "
                        f"set another {key} in .env"
                    ) from error

    def _list_published_ports(self) -> list[tuple[str, str]]:
        found = []
        if "monitoring" in self._value("COMPOSE_PROFILES").split(","):
            found.append(("grafana", "GRAFANA_LISTEN"))
        if "docker-compose.tls.yml" in self._value("COMPOSE_FILE").split(":"):
            found += [("rabbitmq", "BROKER_LISTEN"), ("influxdb", "INFLUXDB_LISTEN")]
        return found

    def _start(self, *arguments: str) -> None:
        """Start services; raises SetupFailed with the last log lines of unhealthy ones."""
        try:
            self._docker.compose("up", "--detach", *arguments)
        except SetupFailed:
            services = self._docker.services(self._value("COMPOSE_PROJECT_NAME"))
            ill = {name: one for name, one in find_unhealthy(services).items() if one[0] == FAILED}
            if not ill:
                raise
            raise SetupFailed(self._describe_problems(ill, services)) from None

    # --- progress ----------------------------------------------------------------------

    def _wait(self) -> None:
        deadline = time.monotonic() + HEALTH_TIMEOUT
        shown: dict[str, tuple[str, str]] = {}
        while True:
            services = self._docker.services(self._value("COMPOSE_PROJECT_NAME"))
            waiting = find_unhealthy(services)
            for name in sorted(set(shown) - set(waiting)):
                print(f"  {name} is healthy", flush=True)
            if services and not waiting:
                return
            shown = waiting
            hopeless = any(word == FAILED for word, text in waiting.values())
            if hopeless or time.monotonic() > deadline:
                raise SetupFailed(self._describe_problems(waiting, services))
            time.sleep(1.0)

    def _describe_problems(
        self, waiting: Mapping[str, tuple[str, str]], services: Mapping[str, Mapping[str, Any]]
    ) -> str:
        lines = ["not everything is healthy"]
        for name, (_, text) in waiting.items():
            lines.append(f"{name}: {text}")
            said = self._docker.read_last_lines(services[name]["Id"])
            lines += [f"    {line}" for line in said.splitlines()]
        return "\n".join(lines)

    def _print_next_steps(self) -> None:
        print(
            "the site is up\n"
            "  the node    docker compose exec plancton planctonctl status\n"
            "  the jobs    docker compose exec -u ce vobox condor_q\n"
            "  a test      docker compose exec -u ce -w /home/ce vobox plancton-demo-ce\n"
            "  logs        docker compose logs --follow"
        )
        if "monitoring" in self._value("COMPOSE_PROFILES").split(","):
            listens = self._value("GRAFANA_LISTEN")
            print(
                f"  dashboards  http://{listens if ':' in listens else f'127.0.0.1:{listens}'}, "
                "user admin, password in "
                "secrets/grafana-admin-password"
            )


def check_tag(tag: str) -> None:
    """Raise SetupFailed if no image can have this tag."""
    if not re.fullmatch(r"[A-Za-z0-9_][\w.-]{0,127}", tag, re.ASCII):
        raise SetupFailed(f"{tag!r} is no tag: make update-workers TAG=1.2.3")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that ``argv`` names (None: the process's own); return the exit code."""
    parser = argparse.ArgumentParser(
        prog="compose.manage", description="Manage a site with compose."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands.add_parser("up", help="start it and wait until everything is healthy")
    commands.add_parser("down", help="stop it; what is stored is kept")
    one = commands.add_parser("secrets", help="write what is missing in secrets/")
    one.add_argument("--force", action="store_true", help="after a change of BROKER_HOST or TLS")
    one = commands.add_parser("update-workers", help="let new pilots run another version")
    one.add_argument("tag", metavar="TAG")
    options = parser.parse_args(argv)
    try:
        if options.command == "update-workers":
            check_tag(options.tag)
        site = Site(DIRECTORY, Docker(DIRECTORY))
        if options.command == "up":
            site.up()
        elif options.command == "down":
            site.down()
        elif options.command == "secrets":
            site.secrets(*(["--force"] if options.force else []))
        else:
            site.update_workers(options.tag)
    except (SetupFailed, OSError) as error:
        print(f"site: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("site: interrupted; `make up` goes on where it was", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
