"""One site for all tests here: its first ``site.yml`` is what most of them start from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.ansible import mirror
from tests.ansible.hosts import Hosts
from tests.ansible.site import NODES, Site
from tests.services.engines import DockerService


@pytest.fixture(scope="session")
def fresh_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Freshly installed hosts and an inventory; nothing was rolled out yet."""
    directory = tmp_path_factory.mktemp("ansible")
    with ExitStack() as stack:
        engine = DockerService(tmp_path_factory.mktemp("docker"))
        stack.callback(engine.clean)
        engine.up()
        hosts = Hosts(engine, directory, NODES)
        stack.callback(hosts.clean)
        hosts.network()
        index = directory / "index"
        wheel = mirror.wheel(directory / "release")
        mirror.fill_index(index, wheel, ["node", "worker", "vobox"])
        url = stack.enter_context(mirror.serve(hosts.gateway, index))
        hosts.image(url)
        hosts.up()
        site = Site(hosts, directory, url, wheel)
        stack.callback(site.clean)
        yield site


@pytest.fixture(scope="session")
def site(fresh_site: Site) -> Site:
    """After the first ``site.yml``; each test leaves it as it found it."""
    fresh_site.well("site")
    return fresh_site
