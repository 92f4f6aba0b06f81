"""A fake server on the commands' socket, and clients of it."""

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from tests.support.schedd_process import thin
from vobox.rpc.server import Server
from vobox.rpc.types import Answer, Request


class FakeRpcServer:
    """A server whose answers the test sets; records the requests."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[Request] = []
        self.handler: Callable[[Request], Answer] = lambda _request: Answer("out\n", "err\n", 3)
        self.server = Server(path, self._handle, lambda command, _argv: command == "condor_submit")
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self._thread.start()

    def _handle(self, request: Request) -> Answer:
        self.asked.append(request)
        return self.handler(request)

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.drain(5)
        self.server.server_close()


def run(
    path: Path,
    name: str,
    *argv: str | bytes,
    stdin: bytes | None = b"",
    redirect: str = "",
    **more: object,
) -> subprocess.CompletedProcess[bytes]:
    """Run a thin command; ``redirect`` is put behind it (``>&-``), ``more`` goes to subprocess."""
    how: dict[str, object] = {"env": {"THYME_SCHEDD_SOCKET": str(path)}, "timeout": 30, **more}
    command: list[str | bytes] = [*thin(name), *argv]
    if redirect:
        command = ["sh", "-c", f'"$@" {redirect}', "sh", *command]
    return subprocess.run(command, input=stdin, capture_output=True, **how)  # type: ignore[call-overload, no-any-return]
