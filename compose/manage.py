"""Bring a site up and down with compose: what ``make up`` and its like run.

Needs Docker, compose (v2 or 1.29) and the standard library of Python 3.9.

    python3 -m compose.manage up | down | secrets | update-workers TAG

Exit codes: 0 done, 1 not done (the text says why), 2 bad use, 130 interrupted.
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
from compose.containers import Docker
from compose.errors import CannotDo
from compose.health import FAILED, unwell

DIRECTORY = Path(__file__).resolve().parents[1]
#: Services with an image of ours, whose name is in .env.
OWN = ("PLANCTON", "SCHEDD", "VOBOX", "RABBITMQ", "INFLUXDB")
#: Seconds until everything has to be healthy; RabbitMQ alone takes a minute on a slow disk.
PATIENCE = 300.0
#: Seconds that pilots get to give their jobs back: on a busy machine that takes a while, and one
#: that is killed has its job again only when its lease has passed.
PILOT_GRACE = 60


class Site:
    def __init__(self, directory: Path, docker: Docker) -> None:
        self._directory, self._docker = directory, docker
        node = socket.gethostname().split(".")[0]
        self._settings = settings.read(directory, node, os.environ)

    def _value(self, key: str) -> str:
        return self._settings[key]

    @property
    def _worker(self) -> str:
        return f"{self._value('WORKER_IMAGE')}:{self._value('WORKER_TAG')}"

    def up(self) -> None:
        self._check_ports()
        self._get_images()
        self.secrets()
        print("starting; the first time takes a minute or two", flush=True)
        self._start("--remove-orphans")
        self._wait()
        self._where_to_look()

    def secrets(self, *arguments: str) -> None:
        """Write what is missing in secrets/."""
        said = self._docker.compose("run", "--rm", "-T", "secrets", *arguments)
        lines = [line.split() for line in said.splitlines()]
        names = [Path(words[1]).name for words in lines if words[:1] in (["made"], ["changed"])]
        wrote = f"wrote {', '.join(f'secrets/{name}' for name in names)}"
        print(f"secrets: {wrote if names else 'nothing was missing'}")

    def down(self) -> None:
        """Pilots give their jobs back, then everything ends; what is stored stays."""
        self._docker.compose("stop", "plancton")
        pilots = [one["Id"] for one in self._docker.pilots(self._value("NODE_NAME"))]
        if pilots:
            print(f"ending {len(pilots)} pilots; their jobs are queued again")
            self._docker.docker("stop", f"--time={PILOT_GRACE}", *pilots)
            self._docker.docker("rm", "--force", "--volumes", *pilots)
        self._docker.compose("down", "--remove-orphans")
        print("down; what is stored is kept (docker volume ls)")

    def update_workers(self, tag: str) -> None:
        """New pilots run that version; the others end by themselves."""
        if not re.fullmatch(r"[A-Za-z0-9_][\w.-]{0,127}", tag):
            raise CannotDo(f"{tag!r} is no tag: make update-workers TAG=1.2.3")
        if "WORKER_TAG" in os.environ:
            raise CannotDo("WORKER_TAG in the environment wins over .env: unset it")
        path = self._directory / ".env"
        before, old = path.read_text(), self._worker
        settings.write(path, settings.changed(before, "WORKER_TAG", tag))
        self._settings["WORKER_TAG"] = tag
        try:
            self._get_image("worker", self._worker, again=True)
            self._start("--no-deps", "plancton")
        except CannotDo:
            settings.write(path, before)
            raise
        self._wait()
        print(f"new pilots run {self._worker}; those with {old} end by themselves")

    # --- images and ports -------------------------------------------------------------

    def _get_images(self) -> None:
        for name in OWN:
            self._get_image(name.lower(), self._value(f"{name}_IMAGE"))
        self._get_image("worker", self._worker)

    def _get_image(self, service: str, image: str, again: bool = False) -> None:
        """``again``: a tag may have been made anew."""
        how = self._value("IMAGES")
        there = self._docker.has_image(image)
        if how not in ("build", "pull", "local"):
            raise CannotDo(f".env: IMAGES={how}: write build, pull or local")
        if how == "local" and not there:
            raise CannotDo(f"there is no image {image} here, and .env says IMAGES=local")
        if how == "local" or (there and not again):
            return
        print(f"{how} {image}", flush=True)
        self._docker.compose(how, service, show=True)

    def _check_ports(self) -> None:
        """Say it before anything is started; the engine of another machine says it itself."""
        if os.environ.get("DOCKER_HOST", "unix://").partition("://")[0] != "unix":
            return
        running = self._docker.services(self._value("COMPOSE_PROJECT_NAME"))
        for service, key in self._published():
            address, _, port = self._value(key).rpartition(":")
            if service in running or not port.isdigit():
                continue
            with socket.socket() as door:
                door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    door.bind((address or "0.0.0.0", int(port)))  # noqa: S104
                except OSError as error:
                    raise CannotDo(
                        f"{service} cannot listen on {self._value(key)} ({error.strerror}): "
                        f"set another {key} in .env"
                    ) from error

    def _published(self) -> list[tuple[str, str]]:
        found = []
        if "monitoring" in self._value("COMPOSE_PROFILES").split(","):
            found.append(("grafana", "GRAFANA_LISTEN"))
        if "docker-compose.tls.yml" in self._value("COMPOSE_FILE").split(":"):
            found += [("rabbitmq", "BROKER_LISTEN"), ("influxdb", "INFLUXDB_LISTEN")]
        return found

    def _start(self, *arguments: str) -> None:
        """Raises CannotDo, with the last words of what does not get well."""
        try:
            self._docker.compose("up", "--detach", *arguments)
        except CannotDo:
            services = self._docker.services(self._value("COMPOSE_PROJECT_NAME"))
            ill = {name: one for name, one in unwell(services).items() if one[0] == FAILED}
            if not ill:
                raise
            raise CannotDo(self._what_is_wrong(ill, services)) from None

    # --- what one sees ----------------------------------------------------------------

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        shown: dict[str, tuple[str, str]] = {}
        while True:
            services = self._docker.services(self._value("COMPOSE_PROJECT_NAME"))
            waiting = unwell(services)
            for name in sorted(set(shown) - set(waiting)):
                print(f"  {name} is well", flush=True)
            if services and not waiting:
                return
            shown = waiting
            hopeless = any(word == FAILED for word, text in waiting.values())
            if hopeless or time.monotonic() > deadline:
                raise CannotDo(self._what_is_wrong(waiting, services))
            time.sleep(1.0)

    def _what_is_wrong(
        self, waiting: Mapping[str, tuple[str, str]], services: Mapping[str, Mapping[str, Any]]
    ) -> str:
        lines = ["not everything is healthy"]
        for name, (_, text) in waiting.items():
            lines.append(f"{name}: {text}")
            said = self._docker.last_words(services[name]["Id"])
            lines += [f"    {line}" for line in said.splitlines()]
        return "\n".join(lines)

    def _where_to_look(self) -> None:
        print(
            "the site is up\n"
            "  the node    docker compose exec plancton planctonctl status\n"
            "  the jobs    docker compose exec -u ce vobox condor_q\n"
            "  a test      docker compose exec -u ce -w /home/ce vobox plancton-demo-ce\n"
            "  logs        docker compose logs --follow"
        )
        if "monitoring" in self._value("COMPOSE_PROFILES").split(","):
            print(
                f"  dashboards  http://{self._value('GRAFANA_LISTEN')}, user admin, password in "
                "secrets/grafana-admin-password"
            )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="compose.manage", description="A site, with compose.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands.add_parser("up", help="start it and wait until everything is healthy")
    commands.add_parser("down", help="stop it; what is stored is kept")
    one = commands.add_parser("secrets", help="write what is missing in secrets/")
    one.add_argument("--force", action="store_true", help="after a change of BROKER_HOST or TLS")
    one = commands.add_parser("update-workers", help="let new pilots run another version")
    one.add_argument("tag", metavar="TAG")
    options = parser.parse_args(argv)
    try:
        site = Site(DIRECTORY, Docker(DIRECTORY))
        if options.command == "up":
            site.up()
        elif options.command == "down":
            site.down()
        elif options.command == "secrets":
            site.secrets(*(["--force"] if options.force else []))
        else:
            site.update_workers(options.tag)
    except (CannotDo, OSError) as error:
        print(f"site: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("site: interrupted; `make up` goes on where it was", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
