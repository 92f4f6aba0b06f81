"""What the role site_checks refuses, without hosts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

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


_WHOLE = """\
- hosts: all
  connection: local
  roles: [site_checks]
  vars: {{site_checks_strict: false, site_tls: false, site_checks_disk_free: 1}}
  post_tasks:
    - ansible.builtin.copy:
        content: "{{{{ site_checks_problems | to_json }}}}"
        dest: "{to}/said"
        mode: "0644"
      vars: {{ansible_remote_tmp: "{to}/.ansible"}}
"""


@pytest.mark.root
def test_systemd_and_what_job_agents_need_are_looked_for(tmp_path: Path) -> None:
    play = tmp_path / "play.yml"
    play.write_text(_WHOLE.format(to=tmp_path))
    values = {"site_checks_cvmfs": ["nobody.example.org"], "site_checks_user_namespaces": True}
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "one,", str(play)]
    command += ["-e", f"ansible_python_interpreter={sys.executable}", "-e", json.dumps(values)]
    environment = {**os.environ, "ANSIBLE_ROLES_PATH": str(ROOT / "ansible/roles")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr

    said = json.loads((tmp_path / "said").read_text())

    # sd_booted(3)
    assert any("systemd" in text for text in said) != Path("/run/systemd/system").is_dir()
    allowed = subprocess.run(["runuser", "-u", "nobody", "--", "unshare", "-U", "true"]).returncode
    begins = [text.partition(":")[0] for text in said if "/cvmfs/" in text or "namespaces" in text]
    assert begins == [
        "/cvmfs/nobody.example.org is empty or not there",
        *(["users cannot make user namespaces"] if allowed else []),
    ]


def test_without_user_namespaces_it_is_said(tmp_path: Path) -> None:
    tasks = yaml.safe_load((ROOT / "ansible/roles/site_checks/tasks/main.yml").read_text())
    (script,) = [task["ansible.builtin.command"]["argv"][2] for task in tasks
                 if "job agents" in task["name"]]  # fmt: skip
    refuses = tmp_path / "runuser"
    refuses.write_text("#!/bin/sh\nexit 1\n")
    refuses.chmod(0o755)
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}

    def ask(wanted: str) -> str:
        done = subprocess.run(["sh", "-c", script, "sh", "", wanted], env=path, check=True,
                              capture_output=True, text=True)  # fmt: skip
        return done.stdout

    assert ask("True").startswith("users cannot make user namespaces: set user.max_user_names")
    assert ask("False") == ""


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
