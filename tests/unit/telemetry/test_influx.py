"""The client of InfluxDB against servers that answer otherwise than InfluxDB does."""

import http.server
import threading
from collections.abc import Callable, Iterator

import pytest

from telemetry.influx import BatchTooLarge, Influx, TargetAway
from telemetry.points import Point
from telemetry.targets import parse

POINTS = [Point("weather", {"place": "here"}, {"warmth": 1.0}, 1_760_000_000.0)]
Serve = Callable[..., Influx]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a client of a server that answers with a status and a body without end."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def make(status: int, body: Iterator[bytes], timeout: float = 20.0) -> Influx:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(status)
                self.end_headers()
                try:
                    for part in body:
                        self.wfile.write(part)
                except OSError:
                    pass  # the client has read enough

            def log_message(self, *_args: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        return Influx(parse(f"http://127.0.0.1:{server.server_address[1]}#db"), timeout)

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


def test_of_an_answer_without_end_only_the_beginning_is_read(serve: Serve) -> None:
    sent = 0

    def flood() -> Iterator[bytes]:
        nonlocal sent
        while sent < 500_000_000:
            sent += 65536
            yield b"x" * 65536

    client = serve(500, flood())
    with pytest.raises(TargetAway, match=r"#db: the server fails: x{50}"):
        client.write(POINTS)
    client.close()
    assert sent < 50_000_000, "the rest is not asked for"


def test_an_answer_that_drips_is_none(serve: Serve) -> None:
    end = threading.Event()

    def drip() -> Iterator[bytes]:
        while not end.wait(0.1):
            yield b"x"

    client = serve(400, drip(), 2.0)
    try:
        with pytest.raises(TargetAway, match="no answer within 2 s"):
            client.write(POINTS)
    finally:
        end.set()
        client.close()


def test_a_request_that_is_too_large_is_told_apart(serve: Serve) -> None:
    client = serve(413, iter([b"<html>Request Entity Too Large</html>"]))
    with pytest.raises(BatchTooLarge, match="413: <html>Request Entity Too Large"):
        client.write(POINTS)
    client.close()


@pytest.mark.parametrize(
    ("user", "sent"),
    [
        (":token@", "Basic OnRva2Vu"),  # ":token"
        ("node:secret@", "Basic bm9kZTpzZWNyZXQ="),  # "node:secret"
        ("node@", None),
        ("", None),
    ],
)
def test_a_token_needs_no_user(user: str, sent: str | None) -> None:
    """Where InfluxDB 2 and 3 look for a token, as for a password, users are not looked at."""
    seen: list[str | None] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(self.headers["Authorization"])
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,)).start()
    try:
        client = Influx(parse(f"http://{user}127.0.0.1:{server.server_address[1]}#db"))
        client.write(POINTS)
        client.close()
    finally:
        server.shutdown()
        server.server_close()
    assert seen == [sent]


def test_a_database_without_tls_is_told_as_such(serve: Serve) -> None:
    plain = serve(204, iter(()))
    port = plain._target.port
    plain.close()
    client = Influx(parse(f"https://127.0.0.1:{port}#db"), timeout=20.0)
    with pytest.raises(TargetAway, match=r"#db: it does not speak TLS on that port$"):
        client.write(POINTS)
    client.close()
