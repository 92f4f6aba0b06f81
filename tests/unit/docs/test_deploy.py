"""The files in deploy/: as their managers want them, and with what the image needs."""

import configparser
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
FILES = ["plancton.marathon.json", "plancton.container", "plancton.service",
         "plancton.kubernetes.yaml"]  # fmt: skip
#: The keys of an app that are used, as the types of Marathon's API (1.5 and later) have them.
MARATHON = {
    "": {"id", "instances", "cpus", "mem", "constraints", "container", "networks", "env",
         "healthChecks", "upgradeStrategy"},
    "container": {"type", "docker", "volumes"},
    "docker": {"image", "privileged", "forcePullImage", "parameters"},
    "parameters": {"key", "value"},
    "volumes": {"hostPath", "containerPath", "mode"},
    "networks": {"mode"},
    "healthChecks": {"protocol", "command", "gracePeriodSeconds", "intervalSeconds",
                     "timeoutSeconds", "maxConsecutiveFailures"},
    "command": {"value"},
    "upgradeStrategy": {"minimumHealthCapacity", "maximumOverCapacity"},
}  # fmt: skip


def find_unknown(where: str, value: Any) -> list[str]:
    """List the keys that Marathon does not know."""
    found = []
    if isinstance(value, list):
        found += [key for each in value for key in find_unknown(where, each)]
    elif isinstance(value, dict) and where in MARATHON:
        found += [f"{where}.{key}" for key in set(value) - MARATHON[where]]
        found += [each for key, inner in value.items() for each in find_unknown(key, inner)]
    return found


def test_the_page_names_every_file() -> None:
    page = (DEPLOY / "README.md").read_text()
    assert {path.name for path in DEPLOY.iterdir()} == {*FILES, "README.md"}
    assert all(f"[{name}]({name})" in page for name in FILES)


@pytest.mark.parametrize("name", FILES)
def test_each_mounts_what_the_container_needs_and_asks_for_its_health(name: str) -> None:
    text = (DEPLOY / name).read_text()
    for path in ("/sys/fs/cgroup", "/var/lib/plancton", "/var/run/plancton"):
        assert path in text
    assert re.search(r"/(docker|podman)\.sock", text)
    manual = (ROOT / "docs/howto-node.md").read_text()
    variables = set(re.findall(r"PLANCTON_\w+", text))
    assert "PLANCTON_CONF_URL" in variables
    assert {one for one in variables if f"`{one}`" not in manual} == set()
    # the image has a HEALTHCHECK, which Docker and Podman run by themselves
    if "marathon" in name or "kubernetes" in name:
        assert "planctonctl" in text and "health" in text


def test_marathon_knows_every_key() -> None:
    app = json.loads((DEPLOY / "plancton.marathon.json").read_text())
    assert find_unknown("", app) == []
    app["container"]["docker"]["imgae"] = ""
    assert find_unknown("", app) == ["docker.imgae"], "it does look"
    assert app["constraints"] == [["hostname", "UNIQUE"]], "one a node"
    assert {one["mode"] for one in app["container"]["volumes"]} == {"RW"}


@pytest.mark.needs("systemd")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "plancton.service"
    # systemd looks whether the programs and units are there
    text = (DEPLOY / unit.name).read_text().replace("/usr/bin/docker", "/bin/true")
    unit.write_text(text.replace("docker.service ", "").replace("Requires=docker.service\n", ""))

    def verify() -> str:
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        return "\n".join(line for line in done.stderr.splitlines() if "plancton.service" in line)

    assert verify() == ""
    unit.write_text(text.replace("Restart=always", "Restart=allways"))
    assert "allways" in verify(), "it does look"


def test_the_quadlet_file_has_sections_and_keys_of_podman_alone() -> None:
    found = configparser.ConfigParser(strict=False, interpolation=None)
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read(DEPLOY / "plancton.container")
    assert set(found.sections()) == {"Unit", "Container", "Service", "Install"}
    # podman-systemd.unit(5) of Podman 4.4
    assert set(found["Container"]) <= {
        "Image", "ContainerName", "Network", "PodmanArgs", "SecurityLabelDisable", "Environment",
        "Volume",
    }  # fmt: skip
    assert found["Container"]["Network"] == "host"


def test_kubernetes_takes_the_daemon_set() -> None:
    validate = pytest.importorskip("kubernetes_validate")
    documents = list(yaml.safe_load_all((DEPLOY / "plancton.kubernetes.yaml").read_text()))
    assert [one["kind"] for one in documents] == ["Namespace", "DaemonSet"]
    for document in documents:
        validate.validate(document, "1.31", strict=True)
    documents[1]["spec"]["template"]["spec"]["hostNetwrok"] = True
    with pytest.raises(validate.ValidationError):
        validate.validate(documents[1], "1.31", strict=True)
