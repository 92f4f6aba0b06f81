"""Both commands of the README on a machine that has nothing but what the README names.

Debian's minimal system, made here: a package that a test needs and the list of services forgets, or
a program that the demo needs and the README forgets, fails here although this machine has it.
"""

import re
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.setup.needs import needs
from tests.setup.services import SERVICES
from tests.setup.steps import ROOT
from tests.support.services.bare_machine import BareMachine

#: Seconds: two or three minutes on a machine that does nothing else.
LONGEST = 1200
pytestmark = [pytest.mark.root, pytest.mark.timeout(LONGEST + 300)]

#: A blank in the path, as people have it.
USER, CLONE = "anna", "/home/anna/my clones/plancton"
_ENGINE = "tests/contract/test_plancton_engine.py::test_an_engine_without_pilots_lists_none"
#: One short test that uses each service.
TESTS = {
    "docker": f"{_ENGINE}[docker]",
    "podman": f"{_ENGINE}[podman]",
    "rabbitmq": "tests/contract/test_transport.py::test_pools_do_not_mix[amqp]",
    "influxdb": "tests/integration/telemetry/test_influxdb.py"
    "::test_the_database_is_made_when_it_is_missing",
    "prometheus": "tests/integration/telemetry/test_prometheus.py",
    "registry": "tests/integration/plancton/test_docker_images.py"
    "::test_a_missing_image_is_pulled_with_the_credentials_of_the_docker_config",
    "images": "tests/e2e/test_services.py::test_debootstrap_finds_debian_at_the_mirror",
    "compose": "tests/e2e/test_compose_config.py::test_both_versions_read_the_same_in_it",
    "site": "tests/e2e/test_services.py::test_an_engine_with_bridges_runs_in_a_network_of_its_own",
    "hosts": "tests/e2e/test_services.py::test_ssh_has_a_key_and_speaks_to_nobody",
    "routing": "tests/integration/compose/test_pilot_guard.py",
    "vm": "tests/e2e/test_services.py::test_qemu_has_the_machine_that_a_node_needs",
    "firewall": "tests/integration/thyme/test_amqp_faults.py"
    "::test_dropped_packets_are_noticed_by_waiting_and_by_sending_clients",
    "spin": "tests/model/test_model.py"
    "::test_the_protocol_has_its_properties_under_faults[no-fault]",
    "systemd": "tests/ansible/test_units.py::test_systemd_accepts_the_units[pip-docker]",
    "man": "tests/unit/setup/test_programs.py"
    "::test_man_renders_the_page_without_a_warning[thyme-worker.1]",
    "zsh": "tests/unit/plancton/cli/test_completion.py"
    "::test_zsh_registers_the_script_and_gets_the_words_of_the_command",
    "clients": "tests/clients/test_libraries.py"
    "::test_dask_computes_on_the_pool_and_takes_its_workers_away",
    "makeflow": "tests/clients/test_workflows.py"
    "::test_makeflow_itself_runs_a_workflow_and_reads_how_a_step_failed",
    "arc": "tests/clients/test_arc.py::test_arcs_own_scripts_submit_scan_and_cancel",
    "grafana": "tests/unit/grafana/test_source.py::test_the_check_of_the_form_finds_what_is_wrong",
}


def what_the_readme_names() -> str:
    """Return the command of the README that installs what both commands need."""
    (command,) = re.findall(r"^# (apt install .*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    return command.replace("apt install", "apt-get install --yes --no-install-recommends")


@pytest.fixture(scope="module")
@needs("images")
def machine() -> Iterator[BareMachine]:
    # pytest's own directories are closed to other users
    with tempfile.TemporaryDirectory(prefix="bare-") as place:
        Path(place).chmod(0o755)
        made = BareMachine(Path(place))
        try:
            made.got(f"apt-get update && {what_the_readme_names()}", timeout=300)
            made.add_user(USER)
            made.clone(CLONE, USER)
            made.clone("/root/plancton", "root")
            yield made
        finally:
            made.remove()


def test_both_commands_need_nothing_that_is_not_named(machine: BareMachine) -> None:
    said: dict[str, str] = {}

    def demo() -> None:
        done = machine.run("make demo", user=USER, cwd=CLONE, timeout=LONGEST)
        said["demo"] = f"{done.returncode}\n{done.stdout}"

    # Beside the other, as it mostly waits.
    beside = threading.Thread(target=demo)
    beside.start()
    try:
        said["setup"] = machine.got("make setup", cwd="/root/plancton", timeout=LONGEST, CI="true")
    finally:
        beside.join()

    code, *lines = said["demo"].splitlines()
    assert code == "0", said["demo"]
    assert re.fullmatch(
        r"demo: 24 submitted, 22 completed, 2 removed, 0 lost, 0 doubled in \d+ s", lines[-1]
    )
    assert lines[0].startswith("make: preparing .venv ("), said["demo"]
    assert "make: apt installs " in said["setup"]
    assert machine.got("make setup", cwd="/root/plancton", timeout=LONGEST) == ""


def test_every_service_runs_after_the_set_up(machine: BareMachine) -> None:
    tests = " ".join(f"'{one}'" for one in TESTS.values())
    said = machine.got(
        f".venv/bin/python -m pytest -q -n 2 {tests}",
        cwd="/root/plancton", timeout=LONGEST, CI="true",
    )  # fmt: skip
    passed = re.fullmatch(r"(\d+) passed in .*", said.splitlines()[-1])
    assert passed and int(passed[1]) >= len(TESTS), said


def test_every_service_has_a_test_here() -> None:
    assert TESTS.keys() == SERVICES.keys()
