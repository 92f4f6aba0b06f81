"""Whatever a configuration page holds, the daemon keeps its pilots and takes the next good page.

Each page once ended the thread that reads pages, filled the memory, or could have; while it is
served, `planctonctl status` is timed and a pilot that ends is replaced.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import yaml

from tests.support.config_server import ConfigServer
from tests.support.honest_user import ENOUGH, TIMES
from tests.support.node_daemon import CONFIG, Node
from tests.support.waiting import wait_until

#: Bytes of memory that the daemon may have.
MAX_RSS = 250 * 1024 * 1024
GOOD = {
    **CONFIG,
    "main_sleep": 0.3,
    "no_work_backoff": 0.05,
    "no_work_backoff_max": 0.1,
    "breaker_backoff": 0.1,
    "breaker_backoff_max": 0.5,  # each test ends a pilot, perhaps a young one
    "max_docks": 2,
}

#: Ten times ten times … a list of ten.
LAUGHS = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
)
PAGES = {
    "recursion": "docker_cmd: '{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}'",
    "not a number": "max_docks: \"'nan'|float\"",
    "infinite": "max_docks: 1e400",
    "power": "max_docks: 9**9**9**9",
    "huge text": "docker_cmd: \"{{ '{0:>300000000}'.format(pilot) }}\"",
    "long loop": "docker_cmd: '{% for x in range(10**9) %}{{ x }}{% endfor %}'",
    "long product": "docker_cmd: \"{{ 'a' * 1000000000 }}\"",
    "aliases": LAUGHS,
    "object": "docker_cmd: !!python/object/apply:os.system ['touch /tmp/mallory']",
    "deep list": "binds: " + "[" * 20_000,
    "deep expression": "max_docks: " + "(" * 20_000 + "1" + ")" * 20_000,
    "deep signs": "max_docks: '" + "-" * 100_000 + "1'",
    "long key": "a" * 900_000 + ": 1",
    "many keys": "\n".join(f"k{n}: 1" for n in range(50_000)),
    "many windows": "windows:\n" + "- mon 00:00-01:00\n" * 40_000 + "- never",
    "many names": "environment:\n" + "".join(f"  K{n}: x\n" for n in range(40_000)) + "x: 1",
    "zeros": "\0" * 100_000,
    "control characters": "max_docks: \x1b]0;x\x07 2",
    "digits": "max_docks: " + "9" * 100_000,
    "negative": "max_docks: -5\nmax_dock_mem: -1",
    "date": "windows: [2026-99-99 - 2026-99-99]",
    "no mapping": "- 1\n- 2",
}


#: Set when servers that keep their clients waiting may give up.
OVER = threading.Event()


class Site:
    """A daemon that takes its configuration from a page."""

    def __init__(self, node: Node, web: ConfigServer) -> None:
        self.node, self.web, self.version = node, web, 0
        self.serve(yaml.safe_dump(GOOD))
        node.environment = {"PLANCTON_CONF_URL": web.url, "PLANCTON_CONF_UPDATE": "1"}
        self.daemon = node.nodaemon()
        node.wait_for(2)
        self.quiet = max(self.node.time_status(), self.node.time_status())
        #: of `planctonctl status` during the last attack
        self.took = 0.0

    def settle(self) -> None:
        """Fail where the answer took too long in the attack that is over.

        It is compared with the time that it takes now: the machine may have got other work.
        """
        if self.took > max(ENOUGH, TIMES * self.quiet):
            assert self.took <= TIMES * max(self.node.time_status(), self.node.time_status())

    def serve(self, text: str) -> None:
        self.version += 1
        self.web.text, self.web.etag = text, f'"{self.version}"'

    def check(self) -> None:
        """Check that the daemon answers, replaces a pilot that ends, and has remained small."""
        self.took = min(self.node.time_status() for _ in range(3))
        before = self.node.wait_for(2)
        name, pid = next(iter(before.items()))
        os.kill(pid, signal.SIGTERM)
        wait_until(
            lambda: len(self.node.running()) == 2 and name not in self.node.running(),
            "another pilot", state=self.node.log,
        )  # fmt: skip
        assert self.daemon.poll() is None
        status = Path(f"/proc/{self.daemon.pid}/status").read_text()
        assert int(status.partition("VmHWM:")[2].split()[0]) * 1024 < MAX_RSS


@pytest.fixture(scope="module")
def module_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    node, web = Node(tmp_path_factory.mktemp("node")), ConfigServer()
    yield Site(node, web)
    node.environment = {}  # what ends the pilots needs no page
    node.configure(**GOOD)
    node.clean()
    web.close()


@pytest.fixture
def site(module_site: Site) -> Iterator[Site]:
    yield module_site
    module_site.web.answer = module_site.web.as_usual
    OVER.set()
    # the next good page is taken, whatever came before
    module_site.serve(yaml.safe_dump(GOOD))
    wait_until(
        lambda: module_site.node.published()["config"]["problem"] == "", "no problem is left",
        state=module_site.node.published,
    )  # fmt: skip
    module_site.settle()


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_a_page_of_anything(site: Site, page: str) -> None:
    site.serve(page)
    wait_until(lambda: site.node.published()["config"]["problem"], "it is refused", 60)
    site.check()


def hang(_request: BaseHTTPRequestHandler) -> None:
    """Answer when the test is over."""
    OVER.wait()


def flood(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    while True:
        request.wfile.write(b"#" * 1_000_000)


def drip(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    while not OVER.wait(0.2):
        request.wfile.write(b"#")


@pytest.mark.parametrize("answer", [hang, flood, drip])
def test_a_server_that_answers_in_any_way(
    site: Site, answer: Callable[[BaseHTTPRequestHandler], None]
) -> None:
    OVER.clear()
    site.web.answer = answer
    wait_until(lambda: site.node.published()["config"]["problem"], "it is told", 60)
    site.check()
