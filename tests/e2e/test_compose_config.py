"""Both versions of compose take the compose files, in every combination that is documented.

Debian 12 has compose 1.29 only. Where a machine has no v2, the tests download the package of
Debian 13 and unpack it below ``build/``.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.setup.steps import ROOT
from tests.support.services.compose import compose_v1, compose_v2

pytestmark = pytest.mark.needs("compose")
TLS = "docker-compose.yml:docker-compose.tls.yml"
FILES = ("docker-compose.yml", TLS, f"{TLS}:docker-compose.node.yml")
PROFILES = ("", "monitoring,demo-ce")
VERSIONS = {"v1": compose_v1, "v2": compose_v2}


def compose(version: str, place: Path, *words: str, **environment: str) -> tuple[str, str]:
    """Return what it prints on stdout and stderr."""
    done = subprocess.run(
        [VERSIONS[version](), *words],
        cwd=place, env={"PATH": "/usr/bin:/bin", "HOME": str(place), **environment},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Make a clone in which nobody has typed anything but ``cp .env.example .env``."""
    for path in ROOT.glob("docker-compose*.yml"):
        shutil.copy(path, tmp_path)
    shutil.copytree(ROOT / "compose", tmp_path / "compose")
    shutil.copy(ROOT / ".env.example", tmp_path / ".env")
    return tmp_path


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("files", FILES)
@pytest.mark.parametrize("profiles", PROFILES)
def test_config_is_clean(place: Path, version: str, files: str, profiles: str) -> None:
    told = compose(version, place, "config", "-q", COMPOSE_FILE=files, COMPOSE_PROFILES=profiles)

    assert told == ("", "")


@pytest.mark.parametrize("files", FILES)
def test_both_versions_read_the_same_in_it(place: Path, files: str) -> None:
    read = {
        version: yaml.safe_load(
            compose(version, place, "config", COMPOSE_FILE=files, COMPOSE_PROFILES=PROFILES[-1])[0]
        )
        for version in VERSIONS
    }

    first, second = (config["services"] for config in read.values())
    assert first.keys() == second.keys()
    for name, one in first.items():
        other = second[name]
        for key in ("image", "hostname", "restart", "cap_add", "cap_drop", "read_only", "init"):
            assert one.get(key) == other.get(key), (name, key)
        assert (one.get("environment") or {}) == (other.get("environment") or {}), name
        assert sorted(one.get("networks") or {}) == sorted(other.get("networks") or {}), name
        waits = {key: value["condition"] for key, value in other.get("depends_on", {}).items()}
        assert {
            key: value["condition"] for key, value in one.get("depends_on", {}).items()
        } == waits, name


def test_nothing_is_published_without_tls_and_monitoring(place: Path) -> None:
    text = compose("v2", place, "config", "--format", "json", COMPOSE_PROFILES="")[0]
    config = json.loads(text)

    assert [name for name, one in config["services"].items() if one.get("ports")] == []
