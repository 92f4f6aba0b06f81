"""Fixtures: newly installed hosts, and a deployed site from which most tests start."""

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.ansible import mirror
from tests.ansible.hosts import Hosts
from tests.ansible.site import NODE_SETTINGS, Site
from tests.setup.needs import needs
from tests.support.services.certificates import Authority
from tests.support.services.engines import DockerService

#: The first carries the services, too.
NODES = ["head", "node1", "node2"]


@contextmanager
def make_site(
    make: pytest.TempPathFactory,
    groups: dict[str, list[str]],
    settings: dict[str, dict[str, Any]],
    *,
    engines: Collection[str] = (),
) -> Iterator[Site]:
    """Three hosts and an inventory; nothing was rolled out yet."""
    directory = make.mktemp("ansible")
    with ExitStack() as stack:
        engine = DockerService(make.mktemp("docker"))
        stack.callback(engine.clean)
        engine.up()
        hosts = Hosts(engine, directory, NODES, engines=engines)
        stack.callback(hosts.clean)
        hosts.network()
        index = directory / "index"
        wheel = mirror.wheel(directory / "release")
        mirror.fill_index(index, wheel, ["node", "worker", "vobox"])
        url = stack.enter_context(mirror.serve(hosts.gateway, index))
        hosts.image(url)
        hosts.up()
        authority = Authority(directory / "ca")
        site = Site(hosts, directory, mirror.Mirror(url, wheel, authority), groups, settings)
        stack.callback(site.clean)
        yield site


@pytest.fixture(scope="session")
@needs("docker", "hosts")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """After the first ``site.yml``; each test leaves it as it found it."""
    groups = {
        "fat": ["head"],
        "light": ["node1", "node2"],
        "nodes": ["fat", "light"],
        **{name: ["head"] for name in ("brokers", "metrics", "dashboards", "voboxes")},
    }
    settings = {
        "nodes": {"plancton_engine": "process", **NODE_SETTINGS},
        # Not among Debian's packages: its files are provisioned, nothing runs.
        "dashboards": {"grafana_manage_package": False, "grafana_manage_service": False},
    }
    with make_site(tmp_path_factory, groups, settings) as made:
        made.first = made.well("site", "-v")
        yield made
