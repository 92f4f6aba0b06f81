"""A private registry, and images uploaded through its API without an engine."""

import base64
import gzip
import hashlib
import json
import shutil
import socket
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import requests

from tests.support.services.certificates import Signed
from tests.support.services.programs import Program, need
from tests.support.waiting import wait_until

USER, PASSWORD = "pilot", "secret"
#: ``htpasswd -B`` of PASSWORD: the registry takes no other kind.
_HASH = "$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


class Registry:
    """``name`` is how engines call it; http is allowed for loopback, elsewhere it needs TLS."""

    def __init__(
        self,
        directory: Path,
        address: str = "127.0.0.1",
        signed: Signed | None = None,
        authority: Path | None = None,
    ) -> None:
        need("registry")
        self.directory, self.address = directory, address
        self.signed, self.authority = signed, authority
        with socket.socket() as free:
            free.bind((address, 0))
            self.port = free.getsockname()[1]
        self.name = f"{address}:{self.port}"
        self.program: Program | None = None

    def up(self) -> None:
        (self.directory / "htpasswd").write_text(f"{USER}:{_HASH}\n")
        http: dict[str, Any] = {"addr": self.name}
        if self.signed:
            files = {"certificate": self.signed.certificate, "key": self.signed.key}
            http["tls"] = {name: str(path) for name, path in files.items()}
        config = {
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(self.directory / "data")}},
            "http": http,
            "auth": {"htpasswd": {"realm": "test", "path": str(self.directory / "htpasswd")}},
        }
        # JSON is YAML.
        (self.directory / "config.yml").write_text(json.dumps(config))
        self.program = Program(
            ["docker-registry", "serve", str(self.directory / "config.yml")],
            self.directory / "registry.log",
        )
        wait_until(self.answers, "the registry", state=self.program.said)

    def answers(self) -> bool:
        assert self.program is not None
        assert self.program.process.poll() is None, self.program.said()
        with socket.socket() as door:
            return door.connect_ex((self.address, self.port)) == 0

    def down(self) -> None:
        if self.program is not None:
            self.program.end()
            self.program = None

    def clean(self) -> None:
        self.down()
        shutil.rmtree(self.directory, ignore_errors=True)

    def credentials(self, path: Path) -> Path:
        """Return a Docker config file that opens this registry."""
        word = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        path.write_text(json.dumps({"auths": {self.name: {"auth": word}}}))
        return path

    def push(self, repository: str, tag: str, file_system: bytes) -> str:
        """Put an image of one layer there; its digest."""
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [_digest(file_system)]},
            "history": [{"created_by": "test"}],
        }
        return self._push(repository, [tag], json.dumps(config).encode(), [file_system])

    def push_saved(self, repository: str, tags: Sequence[str], saved: IO[bytes]) -> str:
        """Put an image there as ``docker save`` gives it; its digest."""
        with tarfile.open(fileobj=saved) as tar:

            def read(name: str) -> bytes:
                file = tar.extractfile(name)
                assert file is not None, name
                return file.read()

            (image,) = json.loads(read("manifest.json"))
            layers = [read(name) for name in image["Layers"]]
            return self._push(repository, tags, read(image["Config"]), layers)

    def _push(
        self, repository: str, tags: Sequence[str], config: bytes, layers: Sequence[bytes]
    ) -> str:
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": self._blob(repository, _CONFIG, config),
            "layers": [
                self._blob(repository, _LAYER, gzip.compress(one, 1, mtime=0)) for one in layers
            ],
        }
        for tag in tags:
            answer = self._ask(
                "PUT",
                f"/v2/{repository}/manifests/{tag}",
                data=json.dumps(manifest).encode(),
                headers={"Content-Type": _MANIFEST},
            )
        return str(answer.headers["Docker-Content-Digest"])

    def _blob(self, repository: str, kind: str, content: bytes) -> dict[str, Any]:
        digest = _digest(content)
        place = self._ask("POST", f"/v2/{repository}/blobs/uploads/").headers["Location"]
        self._ask("PUT", place, params={"digest": digest}, data=content)
        return {"mediaType": kind, "size": len(content), "digest": digest}

    def _ask(self, method: str, path: str, **what: Any) -> requests.Response:
        url = (
            path
            if path.startswith("http")
            else f"{'https' if self.signed else 'http'}://{self.name}{path}"
        )
        trusted = str(self.authority) if self.authority else True
        answer = requests.request(
            method, url, auth=(USER, PASSWORD), verify=trusted, timeout=60, **what
        )
        answer.raise_for_status()
        return answer


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()
