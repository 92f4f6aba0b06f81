"""A web server on loopback that serves a configuration."""

import ssl
import threading
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Answer = Callable[[BaseHTTPRequestHandler], None]


class ConfigServer:
    """A web server that answers with ``answer``; ``asked`` has the headers of each request."""

    def __init__(self, certificate: Path | None = None) -> None:
        self.text, self.etag = "engine: process\nmax_docks: 3\n", '"1"'
        self.asked: list[dict[str, str]] = []
        self.answer: Answer = self.as_usual
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.asked.append(dict(self.headers))
                web.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.server.handle_error = lambda *_: None  # type: ignore[method-assign]
            self.scheme = "https"
        self.thread = threading.Thread(
            target=partial(self.server.serve_forever, poll_interval=0.01), daemon=True
        )
        self.thread.start()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server.server_port}/config.yaml"

    def as_usual(self, request: BaseHTTPRequestHandler) -> None:
        if request.headers.get("If-None-Match") == self.etag:
            request.send_response(304)
            request.end_headers()
            return
        body = self.text.encode()
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.send_header("ETag", self.etag)
        request.end_headers()
        request.wfile.write(body)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
