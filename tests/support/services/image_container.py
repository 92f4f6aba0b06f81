"""Containers of the images of a site."""

import io
import tarfile
from pathlib import Path
from typing import Any

import yaml

from tests.support.services.image_builds import ROOT, BuiltImages
from tests.support.waiting import wait_until

#: Seconds; a cold start on a busy machine.
LONG = 120.0


class ImageContainer:
    """One container. ``options``: of ``create_host_config`` (binds, cap_add, network_mode, ...)."""

    def __init__(
        self,
        images: BuiltImages,
        image: str,
        *command: str,
        entrypoint: list[str] | None = None,
        environment: dict[str, str] | None = None,
        labels: dict[str, str] | None = None,
        healthcheck: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.engine = images.engine
        self.client = self.engine.client
        if healthcheck is not None:
            # the image's own probe, more often: a test does not wait a minute for it
            inside = (
                self.client.inspect_image(images.names[image])["Config"].get("Healthcheck") or {}
            )
            healthcheck = {**inside, **healthcheck}
            healthcheck = {_small(key): value for key, value in healthcheck.items()}
        made = self.client.create_container(
            images.names[image],
            list(command) or None,
            entrypoint=entrypoint,
            environment=environment,
            labels=labels,
            healthcheck=healthcheck,
            host_config=self.client.create_host_config(**{"network_mode": "none", **options}),
        )
        self.id: str = made["Id"]
        self.client.start(self.id)

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.inspect_container(self.id)["State"]
        return found

    def said(self) -> str:
        text: str = self.client.logs(self.id).decode(errors="replace")
        return text

    def shows(self) -> str:
        return f"{self.state}\n{self.said()[-3000:]}"

    def run(self, *command: str, user: str = "", cwd: str | None = None) -> tuple[int, str]:
        """In the container; exit code, and stdout and stderr as they came."""
        return self.engine.run_inside(self.id, *command, user=user, cwd=cwd)

    def got(self, *command: str, **options: Any) -> str:
        """Return what the command printed; it has to end with 0."""
        code, said = self.run(*command, **options)
        assert code == 0, f"{command}: {code}: {said}\n{self.shows()}"
        return said

    def put(self, directory: str, name: str, text: str, uid: int = 0, mode: int = 0o644) -> None:
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w") as tar:
            file = tarfile.TarInfo(name)
            file.size, file.uid, file.gid, file.mode = len(text.encode()), uid, uid, mode
            tar.addfile(file, io.BytesIO(text.encode()))
        assert self.client.put_archive(self.id, directory, made.getvalue())

    def until_healthy(self) -> None:
        self._until_health("healthy")

    def until_unhealthy(self) -> None:
        self._until_health("unhealthy")

    def _until_health(self, wanted: str) -> None:
        def reached() -> bool:
            state = self.state
            assert state["Running"], self.shows()
            return bool(state["Health"]["Status"] == wanted)

        wait_until(reached, f"the container to be {wanted}", timeout=LONG, state=self.shows)

    def ended(self) -> int:
        """Its exit code, when it has ended by itself."""
        wait_until(lambda: not self.state["Running"], "its end", timeout=LONG, state=self.shows)
        return int(self.state["ExitCode"])

    def stop(self) -> int:
        """SIGTERM; its exit code. Never killed: 137 is not an answer."""
        self.client.kill(self.id, "SIGTERM")
        return self.ended()

    def close(self) -> None:
        self.client.remove_container(self.id, force=True, v=True)
        self.client.close()


class BrokerContainer(ImageContainer):
    """RabbitMQ's own image as ``docker-compose.yml`` starts it; ``roles``: its secrets."""

    def __init__(self, images: BuiltImages, roles: Path) -> None:
        service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["rabbitmq"]
        mounts = {
            "./secrets/services/rabbitmq": roles,
            "./compose/rabbitmq": ROOT / "compose/rabbitmq",
        }
        parts = [volume.partition(":") for volume in service["volumes"]]
        super().__init__(
            images,
            "rabbitmq",
            entrypoint=service["entrypoint"],
            environment=service["environment"],
            healthcheck={"Test": service["healthcheck"]["test"], "Interval": 500_000_000},
            binds=[f"{mounts[name]}:{rest}" for name, _, rest in parts if name in mounts],
        )


def _small(name: str) -> str:
    """``StartPeriod`` as docker-py writes it: ``start_period``."""
    return "".join("_" + one.lower() if one.isupper() else one for one in name).lstrip("_")
