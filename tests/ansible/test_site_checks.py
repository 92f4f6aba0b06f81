"""What the role site_checks refuses, without hosts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_PLAY = """\
- hosts: one
  gather_facts: false
  connection: local
  vars_files: ["{roles}/site_checks/vars/main.yml"]
  tasks:
    - ansible.builtin.copy:
        content: "{{{{ site_checks_problem_tls | join }}}}"
        dest: "{to}/said"
        mode: "0644"
      vars: {{ansible_remote_tmp: "{to}/.ansible"}}
"""


@pytest.mark.parametrize(
    ("hosts", "variable", "refused"),
    [("one,two,", "", True), ("one,", "", False)]
    + [("one,two,", f"site_tls={value}", False) for value in ("true", "false")],
)
def test_tls_between_several_hosts_has_to_be_decided(
    hosts: str, variable: str, refused: bool, tmp_path: Path
) -> None:
    play = tmp_path / "play.yml"
    play.write_text(_PLAY.format(roles=ROOT / "ansible/roles", to=tmp_path))
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", hosts, str(play)]
    command += ["-e", f"ansible_python_interpreter={sys.executable}"]
    command += ["-e", variable] if variable else []
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    said = (tmp_path / "said").read_text()
    if not refused:
        assert said == ""
        return
    assert "site_tls is not set" in said and "between 2 hosts" in said
    assert "set site_tls to true and provide certificates, or to false" in said
