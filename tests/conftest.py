"""Fixtures that need a real service, for any test that names them."""

import re
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.support import failure_logs
from tests.support.own_process import guard_services, pytest_pyfunc_call
from tests.support.services.fixtures import (
    cgroup_name,
    docker_service,
    influxdb,
    make_docker,
    make_influxdb,
    make_rabbitmq,
    podman_service,
    rabbitmq,
    rabbitmq_server,
    registry,
    to_clean,
)
from tests.support.services.image_builds import built_images
from tests.support.services.programs import begin_test, end_test

__all__ = [
    "built_images",
    "cgroup_name",
    "docker_service",
    "influxdb",
    "make_docker",
    "make_influxdb",
    "make_rabbitmq",
    "podman_service",
    "pytest_pyfunc_call",
    "rabbitmq",
    "rabbitmq_server",
    "registry",
    "to_clean",
]

ROOT = Path(__file__).parent
# No time limit for an example: the machine may be busy.
hypothesis.settings.register_profile("busy machine", deadline=None)
hypothesis.settings.load_profile("busy machine")
#: Files that share a service which takes long to start, the longest first; others are shared
#: out one by one.
TOGETHER = (
    (re.compile("e2e/test_(compose|services)"), "site"),
    (re.compile("ansible/test_converge"), "converge"),
    (re.compile(r"integration/images/"), "images"),
    (re.compile(r"(contract|integration)/.*(engine|docker|container|images)"), "containers"),
    (re.compile("hostile/test_hostile_pilot"), "containers"),
    (re.compile("e2e/test_bare_machine"), "bare"),
    (re.compile("vm/"), "vm"),
    (re.compile("clients/"), "clients"),
)
#: Long, and each test with a site of its own.
APART = re.compile("chaos/")


def group_of(path: Path) -> str | None:
    """Which tests run in one process when there are several (``-n``); None: each where it likes."""
    name = str(path.relative_to(ROOT))
    for pattern, group in TOGETHER:
        if pattern.match(name):
            return group
    return None if APART.match(name) else name


def pytest_configure(config: pytest.Config) -> None:
    """Restore signals that a shell's background or nohup ignores, so that our programs get them."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    guard_services()
    failure_logs.register(config)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    begin_test(item)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    end_test()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Share out by our groups (the option ``--dist`` is not looked at).

    Not by the marker ``xdist_group``: it works by changing test ids in a way that pytest 9.2 no
    longer heeds, and then every process silently has every service.
    """
    from xdist.scheduler import LoadScopeScheduling  # only where it is installed

    class ByService(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(ROOT.parent / nodeid.partition("::")[0]) or nodeid

    config.option.loadscopereorder = False  # it would begin the longest groups last
    return ByService(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    groups = Counter(group_of(item.path) for item in items)
    longest = {name: place for place, (_, name) in enumerate(TOGETHER)}

    def place(item: pytest.Item) -> tuple[int, int]:
        group = group_of(item.path)
        return longest.get(group or "", len(longest)), -groups[group]

    items.sort(key=place)
