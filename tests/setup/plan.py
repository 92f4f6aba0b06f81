"""The decision: what is installed, and what is only told. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tests.setup.services import PACKAGES, Service


@dataclass(frozen=True)
class Machine:
    """What there is: ``programs`` and ``downloads`` by name; ``apt``: Debian's package manager."""

    programs: Collection[str]
    downloads: Collection[str]
    root: bool
    apt: bool


@dataclass(frozen=True)
class Plan:
    """Each a tuple of names, sorted."""

    #: Debian packages that are installed now
    install: tuple[str, ...] = ()
    #: what is downloaded now
    download: tuple[str, ...] = ()
    #: Debian packages that are missing and that this user cannot install
    missing: tuple[str, ...] = ()
    #: services that cannot be used for lack of these packages
    without: tuple[str, ...] = ()
    #: services that only root can use
    for_root: tuple[str, ...] = ()


def decide(services: Mapping[str, Service], machine: Machine) -> Plan:
    """Decide what the set-up does for the services that this user may run.

    Args:
        services: by name.
        machine: what there is, and who asks.
    """
    lacking = {
        name: {
            package
            for package in service.packages
            if any(program not in machine.programs for program in PACKAGES[package])
        }
        for name, service in services.items()
    }
    for_root = {name for name, service in services.items() if service.root and not machine.root}
    mine = services.keys() - for_root
    wanted = set().union(*(lacking[name] for name in mine))
    able = machine.root and machine.apt
    without = set() if able else {name for name in mine if lacking[name]}
    downloads = {services[name].download for name in mine - without} - {""}
    return Plan(
        install=tuple(sorted(wanted)) if able else (),
        download=tuple(sorted(downloads - set(machine.downloads))),
        missing=() if able else tuple(sorted(wanted)),
        without=tuple(sorted(without)),
        for_root=tuple(sorted(for_root)),
    )
