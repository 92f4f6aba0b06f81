"""The systemd units that the roles write, made on this machine."""

import subprocess
import sys
from pathlib import Path

from tests.ansible.mirror import ROOT

_PLAY = """\
- hosts: localhost
  gather_facts: false
  connection: local
  vars_files:
    - "{roles}/plancton/vars/main.yml"
  vars:
    ansible_managed: by Ansible
    ansible_remote_tmp: "{to}/.ansible"
    plancton_install: {install}
    plancton_config_url: https://example.org/config.yaml
    plancton_docker_host: unix:///run/{engine}.sock
    plancton_container_options: []
    plancton_image: registry.example.org/plancton:1
    plancton_service_name: plancton
    plancton_service_description: "Plancton: pilots on the idle CPUs of this node"
    plancton_service_command: >-
      {{{{ lookup('ansible.builtin.template', '{roles}/plancton/templates/command.j2')
      | from_yaml }}}}
    plancton_service_after: [docker.service]
    plancton_service_part_of: >-
      {{{{ 'docker.service' if plancton_install == 'container' else '' }}}}
    plancton_service_before: >-
      {{{{ [] if plancton_install == 'pip'
      else [plancton_engine_command, 'rm', '-f', 'plancton'] }}}}
    plancton_service_notify: true
    plancton_service_kill_mode: process
    plancton_service_stop_seconds: 40
    plancton_service_hardening: "{{{{ plancton_hardening }}}}"
  tasks:
    - ansible.builtin.template:
        src: "{roles}/{{{{ item.src }}}}"
        dest: "{to}/{{{{ item.dest }}}}"
        mode: "0644"
      loop:
        - {{src: plancton_service/templates/unit.j2, dest: plancton.service}}
        - {{src: plancton/templates/plancton.slice.j2, dest: plancton.slice}}
"""


def render_units(to: Path, install: str, engine: str) -> None:
    """Write ``plancton.service`` and ``plancton.slice`` as the role does.

    Args:
        to: an empty directory.
        install: the role's ``plancton_install``, ``pip`` or ``container``.
        engine: ``docker`` or ``podman``.
    """
    play = to / "play.yml"
    play.write_text(
        _PLAY.format(install=install, engine=engine, roles=ROOT / "ansible/roles", to=to)
    )
    ansible = str(Path(sys.executable).with_name("ansible-playbook"))
    done = subprocess.run([ansible, str(play)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
