"""The systemd units, which the tests' hosts cannot start: made by the roles, read by systemd."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.ansible.mirror import ROOT
from tests.ansible.units import render_units
from tests.support.services.programs import need


@pytest.mark.needs("systemd")
@pytest.mark.parametrize(
    ("install", "engine"), [("pip", "docker"), ("container", "docker"), ("container", "podman")]
)
def test_systemd_accepts_the_units(tmp_path: Path, install: str, engine: str) -> None:
    need("systemd")
    render_units(tmp_path, install, engine)
    unit = tmp_path / "plancton.service"
    start = next(line for line in unit.read_text().splitlines() if line.startswith("ExecStart="))
    assert (f"/usr/bin/{engine} run" in start) == (install == "container")
    assert "KillMode=process" in unit.read_text()
    # The programs are not on this machine; everything else must be as systemd wants it.
    program = tmp_path / "true"
    program.symlink_to("/bin/true")
    text = unit.read_text().replace(start.split("=")[1].split()[0], str(program))
    unit.write_text(text.replace(f"/usr/bin/{engine}", str(program)))
    units = [str(unit), str(tmp_path / "plancton.slice")]
    read = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)
    assert read.returncode == 0, read.stderr
    wrong = [line for line in read.stderr.splitlines() if str(tmp_path) in line]
    assert wrong == []


_SCHEDD = """\
- hosts: localhost
  gather_facts: false
  connection: local
  vars_files:
    - "{roles}/vobox/vars/main.yml"
    - "{roles}/vobox/defaults/main.yml"
    - "{roles}/plancton_service/defaults/main.yml"
  vars:
    ansible_managed: by Ansible
    ansible_remote_tmp: "{to}/.ansible"
    plancton_service_name: thyme-schedd
    plancton_service_description: "thyme-schedd: answers the condor commands"
    plancton_service_command: [/bin/true]
  tasks:
    - ansible.builtin.template:
        src: "{roles}/plancton_service/templates/unit.j2"
        dest: "{to}/thyme-schedd.service"
        mode: "0644"
      vars:
        plancton_service_hardening: "{{{{ vobox_schedd_hardening }}}}"
"""


@pytest.mark.needs("systemd")
def test_systemd_finds_the_schedds_unit_little_exposed(tmp_path: Path) -> None:
    need("systemd")
    play = tmp_path / "play.yml"
    play.write_text(_SCHEDD.format(roles=ROOT / "ansible/roles", to=tmp_path))
    ansible = str(Path(sys.executable).with_name("ansible-playbook"))
    done = subprocess.run([ansible, str(play)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    unit = str(tmp_path / "thyme-schedd.service")
    read = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert read.returncode == 0, read.stderr
    assert [line for line in read.stderr.splitlines() if str(tmp_path) in line] == []
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=50", unit]
    exposure = subprocess.run(command, capture_output=True, text=True)
    # root's uid and users' files it needs; of 100 points an unhardened unit has 96
    assert exposure.returncode == 0, exposure.stdout[-3000:]
