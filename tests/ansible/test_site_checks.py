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
def test_systemd_names_of_variables_and_what_job_agents_need_are_looked_for(tmp_path: Path) -> None:
    play = tmp_path / "play.yml"
    play.write_text(_WHOLE.format(to=tmp_path))
    values = {
        "site_checks_cvmfs": ["nobody.example.org"],
        "site_checks_user_namespaces": True,
        "plancton_engine": "process",
        "plancton_max_dokcs": 3,
    }
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "one,", str(play)]
    command += ["-e", f"ansible_python_interpreter={sys.executable}", "-e", json.dumps(values)]
    environment = {**os.environ, "ANSIBLE_ROLES_PATH": str(ROOT / "ansible/roles")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr

    said = json.loads((tmp_path / "said").read_text())

    # sd_booted(3)
    assert any("systemd" in text for text in said) != Path("/run/systemd/system").is_dir()
    allowed = subprocess.run(["runuser", "-u", "nobody", "--", "unshare", "-U", "true"]).returncode
    assert [text for text in said if text.startswith("plancton_")] == [
        "plancton_max_dokcs is no variable of the roles: correct its name "
        "(meta/argument_specs.yml of the roles has them), or give one of your own another prefix"
    ]
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


BOTH = ["plancton_broker_url", "vobox_broker_url"]


@pytest.mark.parametrize(
    ("node", "vobox", "wrong"),
    [
        ("", "amqp://vobox:secret@h", []),
        ("amqp://worker:s-_%40@h/%2F", "amqps://vobox:s@h:5671,[::1]/v?cafile=/etc/ca.pem\n", []),
        # by a client certificate; two nodes of a broker
        ("amqps://h/v?certfile=/c&keyfile=/k", "amqp://v:s@h/v amqp://v:s@i?timeout=9", []),
        ("amqp://w:s@h/v secret", "amqp://v:s@h/vamqp://v:secret@h", BOTH),
        ("secret", "https://vobox:secret@h/", BOTH),
        ("amqp://worker@h/", "amqp://vobox:sec/ret@h/v", BOTH),
    ],
)
def test_a_url_that_names_no_broker_is_told_and_not_shown(
    tmp_path: Path, node: str, vobox: str, wrong: list[str]
) -> None:
    play = tmp_path / "play.yml"
    text = _PLAY.format(roles=ROOT / "ansible/roles", to=tmp_path)
    text = text.replace("site_checks_problem_tls | join", "site_checks_problem_urls | join('+')")
    play.write_text(text)
    values = {"plancton_broker_url": node, "vobox_broker_url": vobox}
    done = _play(tmp_path, play, "-e", json.dumps(values))
    assert done.returncode == 0, done.stdout + done.stderr
    said = (tmp_path / "said").read_text()
    told = " is no URL of a broker: write amqps://USER:PASSWORD@HOST/VHOST"
    assert [each.split(told)[0] for each in said.split("+") if told in each] == wrong
    assert "secret" not in said and (wrong or not said)


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


def _play(directory: Path, playbook: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a playbook on this machine, as the host "one"."""
    (directory / "hosts.yml").write_text("nodes:\n  hosts:\n    one:\n")
    values = {
        "ansible_connection": "local",
        "ansible_become": False,
        "ansible_python_interpreter": sys.executable,
        "ansible_remote_tmp": f"{directory}/.ansible",
    }
    bin_directory = Path(sys.executable).parent
    return subprocess.run(
        [str(bin_directory / "ansible-playbook"), "-i", str(directory / "hosts.yml"),
         str(playbook), "-e", json.dumps(values), *options],
        capture_output=True, text=True, timeout=120, cwd=ROOT / "ansible",
        env={**os.environ, "PATH": f"{bin_directory}:{os.environ['PATH']}"},
    )  # fmt: skip


@pytest.mark.parametrize("role", ["rabbitmq", "influxdb"])
def test_a_missing_certificate_is_named_before_anything_is_installed(
    tmp_path: Path, role: str
) -> None:
    play = tmp_path / "play.yml"
    play.write_text(f"- hosts: one\n  gather_facts: false\n  roles: [{role}]\n")
    values = {"site_tls": True, "site_secrets": str(tmp_path), "site_ca_file": str(play)}

    done = _play(tmp_path, play, "--check", "-e", json.dumps(values))

    assert done.returncode == 2
    for ending in ("pem", "key"):
        assert f"{tmp_path}/one.{ending}: there is no such file on the control node" in done.stdout
    assert f"{play}: there is no such file" not in done.stdout
    assert "Install" not in done.stdout


def test_windows_that_nodes_would_refuse_do_not_replace_those_in_the_inventory(
    tmp_path: Path,
) -> None:
    kept = tmp_path / "group_vars/nodes/windows.yml"
    kept.parent.mkdir(parents=True)
    kept.write_text('plancton_windows: ["mon-fri 20:00-08:00"]\n')
    windows = {"target": "nodes", "windows": ["mon-fry 20:00-08:00"]}

    done = _play(tmp_path, ROOT / "ansible/playbooks/windows.yml", "-e", json.dumps(windows))

    assert done.returncode == 2
    assert "'fry' is no day" in done.stdout
    assert kept.read_text() == 'plancton_windows: ["mon-fri 20:00-08:00"]\n'


@pytest.mark.parametrize(
    ("given", "before", "after"),
    [
        ({"stops": ["sat"]}, {}, {"plancton_stops": ["sat"]}),
        (
            {"stops": []},
            {"plancton_windows": ["sun"], "plancton_stops": ["sat"]},
            {"plancton_windows": ["sun"], "plancton_stops": []},
        ),
    ],
)
def test_a_stop_leaves_the_windows_as_the_inventory_has_them(
    tmp_path: Path, given: dict[str, list[str]], before: dict[str, list[str]],
    after: dict[str, list[str]],
) -> None:  # fmt: skip
    play = tmp_path / "play.yml"
    template = ROOT / "ansible/playbooks/templates/windows.yml.j2"
    copy = {"src": str(template), "dest": str(tmp_path / "windows.yml"), "mode": "0644"}
    tasks = [{"ansible.builtin.template": copy}]
    play.write_text(json.dumps([{"hosts": "one", "gather_facts": False, "tasks": tasks}]))

    done = _play(tmp_path, play, "-e", json.dumps({**given, "windows_before": before}))

    assert done.returncode == 0, done.stdout
    assert yaml.safe_load((tmp_path / "windows.yml").read_text()) == after
