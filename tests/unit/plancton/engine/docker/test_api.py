"""The Docker API against an engine that takes its time."""

import http.server
import json
import threading
from collections.abc import Iterator

import pytest

from plancton.engine.docker import api
from plancton.engine.docker.api import DockerApi

#: Seconds: what is quick here, and when the engine's settings come.
_QUICK, _INFO = 1.5, 2.0


class _SlowPodman(http.server.BaseHTTPRequestHandler):
    """Podman on a slow node: it asks the package manager before it tells its settings."""

    def do_GET(self) -> None:
        answer: object = {"ApiVersion": "1.41", "Components": [{"Name": "Podman Engine"}]}
        if self.path.endswith("/info"):
            threading.Event().wait(_INFO)
            answer = {"CgroupDriver": "systemd"}
        body = json.dumps(answer).encode()
        self.send_response(http.HTTPStatus.OK)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerApi]:
    monkeypatch.setattr(api, "QUICK_TIMEOUT", _QUICK)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _SlowPodman) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        made = DockerApi(f"tcp://127.0.0.1:{server.server_address[1]}")
        yield made
        made.forget_connections()
        server.shutdown()
        thread.join()


def test_settings_that_the_engine_has_to_look_for_are_waited_for(slow: DockerApi) -> None:
    facts = slow.read_facts()
    assert (facts.name.split()[0], facts.cgroup_driver) == ("Podman", "systemd")
