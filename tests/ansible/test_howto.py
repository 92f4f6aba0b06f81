"""The how-to and the example inventory, compared with the playbooks and Ansible itself."""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from plancton.config.model import Config
from plancton.model import HostLoad
from plancton.policy.decide import decide
from tests.ansible.mirror import ROOT
from tests.support.fake_node import FACTS
from tests.support.node_states import NOW, node, starts

HOWTO = (ROOT / "docs/howto-ansible.md").read_text()
ANSIBLE = ROOT / "ansible"
BIN = Path(sys.executable).parent
_VARIABLE = re.compile(
    r"`((?:site|plancton|vobox|influxdb|grafana|docker|rabbitmq|cvmfs_client)_[a-z_]+)"
)


def blocks(kind: str) -> list[str]:
    found = re.findall(rf"^( *)```{kind}\n(.*?)^ *```", HOWTO, re.M | re.S)
    return ["".join(line[len(i) :] for line in text.splitlines(keepends=True)) for i, text in found]


def inventory(path: Path) -> dict[str, Any]:
    command = [str(BIN / "ansible-inventory"), "-i", str(path), "--list"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ANSIBLE)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_inventory_of_the_howto_is_ten_lines_of_one_site(tmp_path: Path) -> None:
    text, variables = blocks("yaml")[:2]
    assert len(text.splitlines()) <= 12
    (tmp_path / "hosts.yml").write_text(text)
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars/all.yml").write_text(variables)
    found = inventory(tmp_path / "hosts.yml")
    assert len(found["nodes"]["hosts"]) == 32
    for group in ("brokers", "metrics", "voboxes"):
        assert found[group]["hosts"] == ["head.example.org"]
    assert found["_meta"]["hostvars"]["node07.example.org"]["site_name"] == "mysite"


def test_the_larger_example_gives_each_kind_of_node_its_own_limits() -> None:
    path = ANSIBLE / "inventory/occam/hosts.yml"
    lines = [line for line in path.read_text().splitlines() if not line.startswith(("#", "---"))]
    assert len(lines) == 10
    found = inventory(path)
    hosts = found["_meta"]["hostvars"]
    assert len(found["fat"]["hosts"]) == 4
    assert len(found["light"]["hosts"]) == 32
    assert hosts["fat01.example.org"]["plancton_max_dock_mem"] == 10_000_000_000
    assert hosts["light01.example.org"]["plancton_windows"]
    assert hosts["light31.example.org"]["plancton_max_docks"] == 1
    assert hosts["light31.example.org"]["plancton_pool"] == "gpu"


@pytest.mark.parametrize(
    ("host", "ncpus", "gib", "pilots"), [("fat01", 96, 768, 80), ("light01", 48, 128, 13)]
)
def test_the_larger_example_runs_as_many_jobs_as_occam_did(
    host: str, ncpus: int, gib: int, pilots: int
) -> None:
    """In 2017 jobs of 10 GB without swap: memory was the limit."""
    values = inventory(ANSIBLE / "inventory/occam/hosts.yml")["_meta"]["hostvars"]
    keys = ("max_docks", "max_dock_mem", "mem_reserve")
    given = {key: values[f"{host}.example.org"][f"plancton_{key}"] for key in keys}
    ram = gib * 2**30
    facts = replace(FACTS, ncpus=ncpus, ram_bytes=ram)
    idle = HostLoad(busy_cpus=0, pilots_cpus=0, mem_available=ram, pilots_mem=0)
    decision = decide(node(facts=facts, load=idle), Config.model_validate(given), NOW)
    assert starts(decision) == pilots


def test_every_command_of_the_howto_is_valid(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts.yml"
    hosts.write_text(blocks("yaml")[0])
    lines = [line.strip() for text in blocks("sh") for line in text.splitlines()]
    commands = [line for line in lines if line.startswith("ansible-playbook")]
    assert len(commands) >= 6
    for line in {re.sub(r"-e \S*'[^']*'", "", line) for line in commands}:
        words = shlex.split(line.replace("../mysite/hosts.yml", str(hosts)))[1:]
        done = subprocess.run(
            [str(BIN / "ansible-playbook"), "--syntax-check", *words],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=ANSIBLE,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        )
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"


def test_every_playbook_and_variable_of_the_howto_exists() -> None:
    for name in re.findall(r"playbooks/([a-z_]+\.yml)", HOWTO):
        assert (ANSIBLE / "playbooks" / name).is_file(), name
    known = "".join(path.read_text() for path in (ANSIBLE / "roles").glob("*/*/*.yml"))
    known += "".join(path.read_text() for path in (ANSIBLE / "playbooks").glob("*.yml"))
    named = set(_VARIABLE.findall(HOWTO))
    assert len(named) > 15
    assert [name for name in sorted(named) if name not in known] == []


def test_every_default_of_a_role_is_described() -> None:
    for role in sorted((ANSIBLE / "roles").iterdir()):
        described = yaml.safe_load((role / "meta/argument_specs.yml").read_text())
        options = described["argument_specs"]["main"].get("options", {})
        given = yaml.safe_load((role / "defaults/main.yml").read_text())
        assert set(given) <= set(options), role.name
        assert all(one["description"] for one in options.values()), role.name
