"""The mirrors of a site without internet: a proxy for Debian's packages and an index for pip."""

import hashlib
import http.server
import os
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tests.support.services.certificates import Authority

ROOT = Path(__file__).parents[2]
#: Survives the session: Debian's packages never change under their name.
KEPT = ROOT / "build/ansible"
DEBIAN = os.environ.get("DEBIAN_URL", "http://deb.debian.org/debian")


def wheel(directory: Path, version: str = "", *, broken: bool = False) -> Path:
    """Build this tree as a wheel of ``version``; ``broken``: its daemon ends at once."""
    directory.mkdir(parents=True)
    tree = directory / "tree"
    tree.mkdir()
    for name in ("pyproject.toml", "setup.cfg", "README.md"):
        shutil.copy(ROOT / name, tree)
    skip = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("plancton", "thyme", "vobox", "telemetry", "hostfiles", "commandline", "joblanes"):
        shutil.copytree(ROOT / name, tree / name, ignore=skip)
    if version:
        (tree / "plancton/__init__.py").write_text(f'__version__ = "{version}"\n')
    if broken:
        with open(tree / "plancton/daemon/process.py", "a") as file:
            file.write('\nraise RuntimeError("this release does not start")\n')
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", str(directory), str(tree))
    shutil.rmtree(tree)
    (made,) = directory.glob("*.whl")
    return made


def fill_index(index: Path, made: Path, extras: Sequence[str]) -> None:
    """Add what ``made`` needs, in the form in which pip asks an index (PEP 503)."""
    flat = KEPT / "wheels"
    flat.mkdir(parents=True, exist_ok=True)
    pip("download", "--prefer-binary", "-d", str(flat), f"{made}[{','.join(extras)}]")
    for each in flat.iterdir():
        name = each.name.split("-")[0].replace("_", "-").replace(".", "-").lower()
        (index / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(each, index / name)


def pip(*words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", *words],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr


class _Proxy(http.server.SimpleHTTPRequestHandler):
    """A GET with a whole URL is fetched from Debian; any other path is a file of the index."""

    index: Path

    def __init__(self, *args: Any) -> None:
        super().__init__(*args, directory=str(self.index))

    def do_GET(self) -> None:
        if not self.path.startswith("http://"):
            super().do_GET()
        elif self.path.endswith(".deb"):
            self._package()
        else:
            self._fetch()

    def _package(self) -> None:
        kept = KEPT / "debs" / hashlib.sha256(self.path.encode()).hexdigest()
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            new = kept.with_suffix(f".{threading.get_ident()}")
            with urllib.request.urlopen(self.path, timeout=60) as answer, open(new, "wb") as file:  # noqa: S310
                shutil.copyfileobj(answer, file)
            new.replace(kept)
        self._head(HTTPStatus.OK, kept.stat().st_size)
        with open(kept, "rb") as file:
            shutil.copyfileobj(file, self.wfile)

    def _fetch(self) -> None:
        try:
            with urllib.request.urlopen(self.path, timeout=60) as answer:  # noqa: S310
                body = answer.read()
        except urllib.error.HTTPError as error:
            self._head(HTTPStatus(error.code), 0)
            error.close()
            return
        self._head(HTTPStatus.OK, len(body))
        self.wfile.write(body)

    def _head(self, status: HTTPStatus, length: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        pass


@dataclass(frozen=True)
class Mirror:
    """What a site without internet has: an index and proxy, a wheel, an authority of its own."""

    url: str
    wheel: Path
    authority: Authority


@contextmanager
def serve(address: str, index: Path) -> Iterator[str]:
    """Serve both on ``address`` while the context lasts; yield the URL."""
    handler = type("Proxy", (_Proxy,), {"index": index})
    server = http.server.ThreadingHTTPServer((address, 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://{address}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
