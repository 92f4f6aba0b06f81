"""What the set-up decides to install, to download, and to leave to somebody else."""

import pytest

from tests.setup.downloads import DOWNLOADS
from tests.setup.plan import Machine, Plan, decide
from tests.setup.services import PACKAGES, SERVICES, Service

BROKER = Service("a broker", ("rabbitmq-server", "erlang-base"))
ENGINE = Service("an engine", ("docker.io", "iptables"), root=True)
CLIENTS = Service("clients", (), download="clients")
TYPES = Service("types", ("npm",), download="grafana")
ALL = {"broker": BROKER, "engine": ENGINE, "clients": CLIENTS, "types": TYPES}


def machine(*programs: str, downloads: tuple[str, ...] = (), root: bool = True, apt: bool = True):
    return Machine(set(programs), set(downloads), root, apt)


def test_root_on_debian_installs_at_once_what_all_services_lack() -> None:
    plan = decide(ALL, machine("epmd", "iptables"))

    assert plan == Plan(
        install=("docker.io", "npm", "rabbitmq-server"), download=("clients", "grafana")
    )


def test_nothing_is_done_where_everything_is_there() -> None:
    everything = machine(
        *("rabbitmq-server", "epmd", "docker", "dockerd", "iptables", "npm"),
        downloads=("clients", "grafana"),
    )

    assert decide(ALL, everything) == Plan()


def test_a_package_with_a_program_missing_is_installed_though_another_is_there() -> None:
    assert decide({"engine": ENGINE}, machine("docker", "iptables")).install == ("docker.io",)


def test_an_ordinary_user_is_told_of_packages_for_what_he_may_run() -> None:
    plan = decide(ALL, machine(root=False))

    assert plan == Plan(
        download=("clients",),  # types would be fetched by npm, which is missing
        missing=("erlang-base", "npm", "rabbitmq-server"),
        without=("broker", "types"),
        for_root=("engine",),
    )


def test_root_without_apt_is_told_too() -> None:
    plan = decide(ALL, machine("rabbitmq-server", "epmd", apt=False))

    assert plan.install == ()
    assert plan.missing == ("docker.io", "iptables", "npm")
    assert plan.without == ("engine", "types")
    assert plan.for_root == ()


@pytest.mark.parametrize("name", SERVICES)
def test_the_list_of_services_names_only_what_is_known(name: str) -> None:
    service = SERVICES[name]

    assert set(service.packages) <= PACKAGES.keys()
    assert service.download == "" or service.download in DOWNLOADS


def test_every_package_is_there_for_a_service() -> None:
    assert {package for one in SERVICES.values() for package in one.packages} == PACKAGES.keys()
