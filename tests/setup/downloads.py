"""What tests use and no package of Debian 12 has: fetched by pip, npm and apt, kept in build/."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.setup.environments import build
from tests.setup.services import which
from tests.setup.steps import PLACE, ROOT, SetupError, explain, run

# --- the real batch clients, in an environment of their own -------------------------------

_CLIENTS = ROOT / "tests/clients"
#: (file, pip's extra options)
_LISTS = (("requirements.txt", ()), ("requirements-alone.txt", ("--no-deps",)))


def clients() -> Path:
    """Return the directory of the clients' environment; another one for other versions."""
    texts = "".join((_CLIENTS / name).read_text() for name, _ in _LISTS)
    mark = hashlib.sha256((sys.version + texts).encode()).hexdigest()[:12]
    return ROOT / "build" / f"clients-{mark}"


def _has_clients() -> bool:
    return (clients() / "complete").exists()


def _fetch_clients() -> None:
    place = clients()
    shutil.rmtree(place, ignore_errors=True)
    build(place, [[*options, "-r", str(_CLIENTS / name)] for name, options in _LISTS])
    (place / "complete").touch()


# --- Grafana's types, and the compiler that holds dashboards against them -----------------

GRAFANA = ROOT / "build" / "grafana-types"
_GRAFANA_PACKAGES = (
    "@grafana/schema@11.6.0",
    "typescript@5.9.2",
    # what shows values, and what it will not load without
    "@grafana/data@11.6.0",
    "react@18.3.1",
    "react-dom@18.3.1",
)


def _has_grafana() -> bool:
    stamp = GRAFANA / "installed"
    return stamp.exists() and stamp.read_text() == json.dumps(_GRAFANA_PACKAGES)


def _fetch_grafana() -> None:
    GRAFANA.mkdir(parents=True, exist_ok=True)
    log = PLACE / "npm.log"
    command = [
        "npm", "install", "--prefix", str(GRAFANA), "--no-audit", "--no-fund", "--ignore-scripts",
        "--omit=peer", *_GRAFANA_PACKAGES,
    ]  # fmt: skip
    code, said = run("npm", command, log, seconds=600)
    if code:
        raise SetupError(explain(said, "the npm registry (npm config registry)", log))
    (GRAFANA / "installed").write_text(json.dumps(_GRAFANA_PACKAGES))


# --- the second version of compose --------------------------------------------------------

#: Where Docker's command looks for its plugins.
_PLUGINS = (
    Path.home() / ".docker/cli-plugins",
    *(Path(top, "docker/cli-plugins") for top in ("/usr/local/lib", "/usr/local/libexec")),
    *(Path(top, "docker/cli-plugins") for top in ("/usr/lib", "/usr/libexec")),
)
_COMPOSE = ROOT / "build" / "compose"
#: Debian 12 has 1.29 alone; this package of the next one needs nothing but glibc 2.34.
_SUITE = "trixie"
_APT = """\
Dir::Etc::SourceList "{place}/sources.list";
Dir::Etc::SourceParts "-";
Dir::State::Lists "{place}/lists";
Dir::Cache "{place}/cache";
APT::Sandbox::User "root";
"""
_UNPACK = (
    "dpkg-deb --fsys-tarfile docker-compose_2*.deb | tar -x --wildcards "
    "--transform='s,.*/,,' '*/cli-plugins/docker-compose'"
)


def compose_plugin() -> Path | None:
    """Docker's plugin ``compose``: this machine's, or the downloaded one; None: neither."""
    for place in (*_PLUGINS, _COMPOSE):
        if compose_version(str(place / "docker-compose")):
            return place / "docker-compose"
    return None


def compose_version(program: str) -> str:
    """Ask a compose for its version; "" where it does not run."""
    try:
        done = subprocess.run(
            [program, "version", "--short"], capture_output=True, text=True, timeout=60, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip().removeprefix("v") if done.returncode == 0 else ""


def _has_compose() -> bool:
    return compose_plugin() is not None


def _fetch_compose() -> None:
    """By apt, which checks who signed it, beside the machine's own lists."""
    if which("apt-get") is None:
        raise SetupError("docker compose is missing; install its plugin (docker-compose-plugin)")
    mirror = os.environ.get("DEBIAN_URL", "http://deb.debian.org/debian")
    (_COMPOSE / "lists/partial").mkdir(parents=True, exist_ok=True)
    (_COMPOSE / "cache/archives/partial").mkdir(parents=True, exist_ok=True)
    (_COMPOSE / "sources.list").write_text(f"deb {mirror} {_SUITE} main\n")
    (_COMPOSE / "apt.conf").write_text(_APT.format(place=_COMPOSE))
    log = PLACE / "compose.log"
    for command in (
        ["apt-get", "update"],
        ["apt-get", "download", f"docker-compose/{_SUITE}"],
        ["sh", "-c", _UNPACK],
    ):
        code, said = run(
            "compose", command, log, seconds=600, where=_COMPOSE,
            environment={"APT_CONFIG": str(_COMPOSE / "apt.conf")},
        )  # fmt: skip
        if code:
            why = explain(said, f"{mirror} (DEBIAN_URL)", log)
            raise SetupError(f"cannot fetch docker compose: {why}")
    for file in _COMPOSE.glob("*.deb"):
        file.unlink()
    if not _has_compose():
        raise SetupError(f"the compose of Debian {_SUITE} does not run here; the log: {log}")


# ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Download:
    """``title`` and ``size`` are for people; ``there`` asks, ``fetch`` raises SetupError.

    ``after_apt``: it is fetched with a program that apt may have to install first.
    """

    title: str
    size: str
    there: Callable[[], bool]
    fetch: Callable[[], None]
    after_apt: bool = True


DOWNLOADS = {
    "clients": Download(
        "the real batch clients", "pip, 250 MB", _has_clients, _fetch_clients, False
    ),
    "compose": Download("docker compose", "60 MB", _has_compose, _fetch_compose),
    "grafana": Download("Grafana's types", "npm, 60 MB", _has_grafana, _fetch_grafana),
}
