"""The Docker API, which Docker and Podman both have: the only importer of ``docker``.

Every error of the libraries is translated here, once, into one of ``plancton.errors``.
Every call has a timeout: an engine that hangs must not hang the daemon.
"""

from __future__ import annotations

import http.client
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from plancton.errors import (
    Conflict,
    EngineError,
    EngineRefused,
    EngineTimeout,
    EngineUnavailable,
    NoSuchImage,
    NotThere,
    OutOfDisk,
)

from .container_body import EngineFacts

_UNIX = "unix://"
DEFAULT_HOST = "unix:///var/run/docker.sock"
#: Seconds for an answer that needs no work of the engine: listing, inspecting, signals.
QUICK_TIMEOUT = 10.0
#: Seconds for work: creating, starting and removing a container on a busy node.
SLOW_TIMEOUT = 120.0
#: Seconds for the engine's settings: Podman runs its helpers, and asks the package manager which
#: package each is from.
FACTS_TIMEOUT = 60.0
#: Seconds in which the engine adds up the files of one container: some millions of them.
DISK_TIMEOUT = 60.0
#: Lines of a container's output that are read at most.
_LAST_LINES = 5000
#: Seconds without progress after which a pull is given up.
PULL_SILENCE = 300.0
#: Seconds without an event after which the stream is opened again: the other end may be gone.
EVENT_SILENCE = 900.0
#: All that a connection can break with; streams raise what is below ``requests``.
_BROKEN = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    DockerException,
    OSError,
    ValueError,
)
#: Connections that are kept open; more are opened when needed.
_POOL = 16


class _Client(docker.APIClient):  # type: ignore[misc]
    """A client whose streams have a timeout; those of ``docker`` have none."""

    def _set_request_timeout(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = self.timeout
        return kwargs


def find_host(configured: str) -> str:
    """Return where the engine listens, as the docker command would find it."""
    return configured or os.environ.get("DOCKER_HOST") or DEFAULT_HOST


class DockerApi:
    """The API of one engine.  Safe in several threads; connects when first needed."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._lock = threading.Lock()
        self._clients: dict[float, _Client] = {}

    # The engine

    def read_facts(self) -> EngineFacts:
        """Return the engine's version and settings."""
        with self._translate_errors("info"):
            client = self._client(FACTS_TIMEOUT)
            info, version = client.info(), client.version()
        podman = any(c.get("Name") == "Podman Engine" for c in version.get("Components") or ())
        options = " ".join(info.get("SecurityOptions") or ())
        return EngineFacts(
            name=f"{'Podman' if podman else 'Docker'} {version.get('Version', '')}",
            ncpus=int(info.get("NCPU") or 1),
            apparmor="name=apparmor" in options,
            selinux="name=selinux" in options,
            user_namespaces=_make_seccomp_option(podman),
            log_driver=str(info.get("LoggingDriver") or ""),
            cgroup_driver=str(info.get("CgroupDriver") or "cgroupfs"),
        )

    def open_events(self) -> Iterator[dict[str, Any]]:
        """Return the stream of container and image events, until the engine ends or ``close``."""
        with self._translate_errors("events"):
            client = self._client(EVENT_SILENCE)
            stream = client.events(decode=True, filters={"type": ["container", "image"]})
        return _Events(stream)

    def forget_connections(self) -> None:
        """Connect again at the next call: the engine may be a newer one by then."""
        with self._lock:
            clients, self._clients = self._clients, {}
        for client in clients.values():
            client.close()

    # Containers

    def list_containers(self, **filters: str) -> list[dict[str, Any]]:
        """Return all containers with a label, or part of a name, as the API describes them."""
        with self._translate_errors("list of containers"):
            found: list[dict[str, Any]] = self._client(QUICK_TIMEOUT).containers(
                all=True, filters=filters
            )
            return found or []

    def read_size(self, container: str) -> int | None:
        """Return the bytes that a running container has written, by its id.

        The engine looks at each of its files.  None: it answers, but not to this; raises NotThere
        for one that has ended.
        """
        try:
            with self._translate_errors(f"size of {container[:12]}"):
                rows: list[dict[str, Any]] = self._client(DISK_TIMEOUT).containers(
                    size=True, filters={"id": container}
                )
        except EngineTimeout:
            self.inspect_container(container)  # an engine that answers nothing is another matter
            return None
        except EngineRefused:  # Podman, of a path that is too long
            return None
        if not rows:
            raise NotThere(container)
        size = int(rows[0].get("SizeRw", 0))
        return None if size < 0 else size  # Docker, of a path that is too long

    def inspect_container(self, container: str) -> dict[str, Any]:
        """Return everything that the API tells about one container."""
        with self._translate_errors(container):
            found: dict[str, Any] = self._client(QUICK_TIMEOUT).inspect_container(container)
            return found

    def create(self, name: str, body: dict[str, Any]) -> str:
        """Create a container from the API's ``body``; return its id."""
        with self._translate_errors(name):
            made = self._client(SLOW_TIMEOUT).create_container_from_config(body, name)
            return str(made["Id"])

    def connect(self, container: str, network: str) -> None:
        """Connect a container to a network."""
        with self._translate_errors(f"network {network}"):
            self._client(SLOW_TIMEOUT).connect_container_to_network(container, network)

    def put_files(self, container: str, archive: bytes) -> None:
        """Unpack a tar archive at the root of a container."""
        with self._translate_errors(container):
            self._client(SLOW_TIMEOUT).put_archive(container, "/", archive)

    def start(self, container: str) -> None:
        """Start a container that was created."""
        with self._translate_errors(container):
            self._client(SLOW_TIMEOUT).start(container)

    def kill(self, container: str, signal: str) -> None:
        """Send a signal, e.g. ``SIGTERM``, to a container's first process."""
        with self._translate_errors(container):
            self._client(QUICK_TIMEOUT).kill(container, signal)

    def unpause(self, container: str) -> None:
        """Let a paused container go on."""
        with self._translate_errors(container):
            self._client(QUICK_TIMEOUT).unpause(container)

    def rename(self, container: str, name: str) -> None:
        """Give a container another name."""
        with self._translate_errors(container):
            self._client(QUICK_TIMEOUT).rename(container, name)

    def remove(self, container: str) -> None:
        """Remove a container and its anonymous volumes, even if it runs."""
        with self._translate_errors(container):
            self._client(SLOW_TIMEOUT).remove_container(container, v=True, force=True)

    def read_output(self, container: str, most: int) -> bytes:
        """Return the last ``most`` bytes of a container's output that the engine has kept."""
        with self._translate_errors(container):
            end = b""
            for part in self._client(SLOW_TIMEOUT).logs(
                container, stdout=True, stderr=True, stream=True, follow=False, tail=_LAST_LINES
            ):
                end = (end + part)[-most:]
            return end

    def read_stats(self, container: str) -> dict[str, Any]:
        """Return the API's statistics of a container."""
        with self._translate_errors(container):
            found: dict[str, Any] = self._client(QUICK_TIMEOUT).stats(
                container, stream=False, one_shot=True
            )
            return found

    # Images

    def inspect_image(self, name: str) -> dict[str, Any]:
        """Return what the API tells about an image.  Raises NoSuchImage."""
        with self._translate_errors(name):
            try:
                found: dict[str, Any] = self._client(QUICK_TIMEOUT).inspect_image(name)
            except NotFound as error:
                raise NoSuchImage(_text(error)) from error
            return found

    def pull(self, name: str, credentials: str, tell: Callable[[dict[str, Any]], None]) -> None:
        """Pull until done; calls ``tell`` with each step.

        ``credentials``: the Docker config file with the registry's login ("": Docker's own).
        """
        with self._translate_errors(name):
            client = self._new_client(PULL_SILENCE)
            try:
                client.reload_config(credentials or None)
                for step in client.pull(name, stream=True, decode=True):
                    if "error" in step:
                        raise _refusal(str(step["error"]))
                    tell(step)
            finally:
                client.close()

    def remove_image(self, image: str) -> None:
        """Remove an image that no container uses."""
        with self._translate_errors(image):
            self._client(SLOW_TIMEOUT).remove_image(image)

    # How

    def _client(self, timeout: float) -> _Client:
        with self._lock:
            if timeout not in self._clients:
                self._clients[timeout] = self._new_client(timeout)
            return self._clients[timeout]

    def _check_listening(self) -> None:
        """Fail at once where nobody listens: ``docker`` would leak a socket."""
        if not self.host.startswith(_UNIX):
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(QUICK_TIMEOUT)
            probe.connect(self.host.removeprefix(_UNIX))

    def _new_client(self, timeout: float) -> _Client:
        # Asking for the version is a first call, and may hang like any other.
        client = _Client(
            self.host, version="auto", timeout=min(timeout, QUICK_TIMEOUT), max_pool_size=_POOL
        )
        client.timeout = timeout
        return client

    @contextmanager
    def _translate_errors(self, what: str) -> Iterator[None]:
        try:
            self._check_listening()
            yield
        except EngineError:
            raise
        except ImageNotFound as error:
            raise NoSuchImage(_text(error)) from error
        except NotFound as error:
            raise NotThere(_text(error)) from error
        except APIError as error:
            if error.status_code == 409:
                raise Conflict(_text(error)) from error
            raise _refusal(_text(error)) from error
        except _BROKEN as error:
            self.forget_connections()
            raise self._unavailable(what, error) from error

    def _unavailable(self, what: str, error: BaseException) -> EngineUnavailable:
        causes = list(_causes(error))
        if any(isinstance(cause, PermissionError) for cause in causes):
            return EngineUnavailable(
                f"{self.host}: permission denied; run as root or as a member of its group"
            )
        if any(isinstance(cause, (FileNotFoundError, ConnectionRefusedError)) for cause in causes):
            return EngineUnavailable(f"{self.host}: no engine listens there")
        if any(
            isinstance(c, (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError))
            for c in causes
        ):
            return EngineTimeout(f"{self.host}: no answer in time ({what})")
        return EngineUnavailable(f"{self.host}: {' '.join(str(causes[-1]).split()) or what}")


def _make_seccomp_option(podman: bool) -> str:
    """Return the security option with our profile: its path for Podman, its text for Docker."""
    profile = Path(__file__).with_name("profiles") / "user_namespaces.json"
    return f"seccomp={profile if podman else profile.read_text(encoding='utf-8')}"


class _Events(Iterator[dict[str, Any]]):
    """An event stream that another thread can close."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __next__(self) -> dict[str, Any]:
        try:
            event: dict[str, Any] = next(self._stream)
        except StopIteration:
            raise
        except _BROKEN as error:
            # Cut, silent for too long, or closed by us: the end of this stream in any case.
            raise StopIteration from error
        return event

    def close(self) -> None:
        try:
            self._stream.close()
        except (OSError, AttributeError, DockerException):
            pass  # closed already, at the other end


def _refusal(text: str) -> EngineRefused:
    if "no space left on device" in text.lower():
        return OutOfDisk(f"the engine's disk is full: {text}")
    return EngineRefused(text)


def _text(error: APIError) -> str:
    """Return the engine's explanation, in one line."""
    return " ".join(str(error.explanation or error).split())


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what it came from, the innermost last."""
    seen: set[int] = set()
    todo: list[object] = [error]
    while todo:
        found = todo.pop(0)
        if isinstance(found, BaseException) and id(found) not in seen:
            seen.add(id(found))
            yield found
            todo += [found.__cause__, found.__context__, getattr(found, "reason", None)]
            todo += list(found.args)
