"""Both versions of compose: ``docker compose`` (v2), and docker-compose 1.29."""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path

from tests.support.services.programs import lacking, need, which

ROOT = Path(__file__).parents[3]
KEPT = ROOT / "build" / "compose"
#: Where Docker's command looks for it.
_PLACES = (
    Path.home() / ".docker/cli-plugins",
    *(Path(top, "docker/cli-plugins") for top in ("/usr/local/lib", "/usr/local/libexec")),
    *(Path(top, "docker/cli-plugins") for top in ("/usr/lib", "/usr/libexec")),
)
#: Debian 12 has 1.29 alone; this package of the next one needs nothing but glibc 2.34.
_SUITE = "trixie"
_APT = """\
Dir::Etc::SourceList "{place}/sources.list";
Dir::Etc::SourceParts "-";
Dir::State::Lists "{place}/lists";
Dir::Cache "{place}/cache";
APT::Sandbox::User "root";
"""


def compose_v1() -> str:
    """The program docker-compose 1.29."""
    need("compose 1.29", ["docker-compose"], ["docker-compose"])
    found = which("docker-compose")
    assert found is not None
    if not version(found).startswith("1."):
        lacking(f"{found} is not docker-compose 1.29")
    return found


def compose_v2() -> Path:
    """The plugin of Docker's command; where there is none, Debian's, kept in build/compose."""
    kept = KEPT / "docker-compose"
    for place in (*_PLACES, KEPT):
        if version(str(place / kept.name)):
            return place / kept.name
    need("compose v2", ["apt-get", "dpkg-deb"], ["apt", "dpkg"])
    KEPT.mkdir(parents=True, exist_ok=True)
    with open(KEPT / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = "" if version(str(kept)) else _fetch(kept)
    if not version(str(kept)):
        lacking(f"compose v2 needs docker-compose-plugin, or Debian's docker-compose: {said}")
    return kept


def version(program: str) -> str:
    """ "" where it does not run."""
    try:
        done = subprocess.run(
            [program, "version", "--short"], capture_output=True, text=True, timeout=60, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip().removeprefix("v") if done.returncode == 0 else ""


def _fetch(target: Path) -> str:
    """By apt, which checks who signed it, beside the machine's own lists; what went wrong."""
    mirror = os.environ.get("DEBIAN_URL", "http://deb.debian.org/debian")
    (KEPT / "lists/partial").mkdir(parents=True, exist_ok=True)
    (KEPT / "cache/archives/partial").mkdir(parents=True, exist_ok=True)
    (KEPT / "sources.list").write_text(f"deb {mirror} {_SUITE} main\n")
    (KEPT / "apt.conf").write_text(_APT.format(place=KEPT))
    environment = {**os.environ, "APT_CONFIG": str(KEPT / "apt.conf")}
    said = ""
    for command in (
        ["apt-get", "-qq", "update"],
        ["apt-get", "-qq", "download", f"docker-compose/{_SUITE}"],
        ["sh", "-c", "dpkg-deb --fsys-tarfile docker-compose_2*.deb | tar -x --wildcards "
         "--transform='s,.*/,,' '*/cli-plugins/docker-compose'"],
    ):  # fmt: skip
        done = subprocess.run(
            command, cwd=KEPT, env=environment, capture_output=True, text=True, timeout=280,
            check=False,
        )  # fmt: skip
        said = f"{said}{done.stdout}{done.stderr}"
    for file in KEPT.glob("*.deb"):
        file.unlink()
    return said[-1000:]
