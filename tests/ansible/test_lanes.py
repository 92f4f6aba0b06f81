"""``site_lanes`` in what the roles give to pilots, schedd and broker."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ansible.mirror import ROOT

ROLES = ROOT / "ansible/roles"


def evaluate(place: Path, variables: dict[str, Any]) -> dict[str, Any]:
    """Return what the roles' variables are with these ones of the inventory."""
    roles = ("plancton", "vobox", "rabbitmq")
    task = yaml.safe_load((ROLES / "rabbitmq/tasks/roles.yml").read_text())[0]
    found = {
        "environment": "{{ plancton_config['environment'] }}",
        "schedd": "{{ vobox_schedd_command }}",
        "roles": task["ansible.builtin.command"]["cmd"],
    }
    content = "{{ found | to_json }}"
    write = {"content": content, "dest": str(place / "found.json"), "mode": "0600"}
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "connection": "local",
        "vars_files": [
            str(path)
            for role in roles
            for path in (ROLES / role / "defaults/main.yml", ROLES / role / "vars/main.yml")
            if path.exists()
        ],
        "vars": {
            "ansible_remote_tmp": str(place / ".ansible"),
            "site_secrets": str(place),
            "rabbitmq_hosts": ["broker"],
            "plancton_image": "plancton:1",
            "plancton_pilot_image": "worker:1",
            "found": found,
        },
        "tasks": [{"ansible.builtin.copy": write}],
    }
    (place / "play.yml").write_text(yaml.safe_dump([play]))
    (place / "more.yml").write_text(yaml.safe_dump(variables))
    ansible = str(Path(sys.executable).with_name("ansible-playbook"))
    command = [ansible, "-e", f"@{place / 'more.yml'}", str(place / "play.yml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads((place / "found.json").read_text()))


@pytest.mark.parametrize(
    ("lanes", "text"), [("10m,1h,12h", "10m,1h,12h"), (3600, "3600")], ids=["several", "a number"]
)
def test_a_sites_lanes_reach_pilots_schedd_and_broker(
    tmp_path: Path, lanes: object, text: str
) -> None:
    found = evaluate(tmp_path, {"site_lanes": lanes})
    assert found["environment"]["THYME_LANES"] == text
    assert found["schedd"][found["schedd"].index("--lanes") + 1] == text
    words = found["roles"].split()
    assert words[words.index("--lanes") + 1] == text


def test_nobody_is_told_of_lanes_that_a_site_does_not_have(tmp_path: Path) -> None:
    found = evaluate(tmp_path, {})
    assert "THYME_LANES" not in found["environment"]
    assert "--lanes" not in found["schedd"]
    assert "--lanes" not in found["roles"]
