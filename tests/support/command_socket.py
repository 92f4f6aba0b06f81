"""The condor commands' entry points, and their protocol without starting a program for each."""

import configparser
import contextlib
import os
import socket
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


def list_entry_points() -> dict[str, str]:
    """Map each installed command to its ``module:function``, as in setup.cfg."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    lines = parser["options.entry_points"]["console_scripts"].strip().split("\n")
    pairs = (line.partition("=")[::2] for line in lines)
    return {name.strip(): target.strip() for name, target in pairs}


COMMANDS = [name for name in list_entry_points() if name.startswith("condor_")]


def request(
    command: str,
    argv: Sequence[str | bytes] = (),
    cwd: str = "/",
    env: Sequence[str] = (),
    count: str = "",
) -> bytes:
    """Build the bytes that a command's client sends; ``count``: another number of arguments."""
    words = [command, cwd, count or str(len(argv)), *argv, *env]
    body = b"".join(os.fsencode(word) + b"\0" for word in words)
    return b"thyme-rpc 1 %d\n" % len(body) + body


def exchange_messages(path: Path, data: bytes, stdin: bytes = b"", is_all: bool = False) -> bytes:
    """Return everything that comes back; stdin is sent when the server asks for it.

    ``is_all``: say that nothing follows ``data``, as is said after what is no request.
    """
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(60)
        line.connect(str(path))
        with contextlib.suppress(BrokenPipeError):  # it may have said no already
            line.sendall(data)
            if is_all or not data.startswith(b"thyme-rpc 1 "):
                line.shutdown(socket.SHUT_WR)
        answer = b""
        # what it did not care to read makes the end a reset
        with contextlib.suppress(ConnectionResetError):
            while part := line.recv(1 << 16):
                answer += part
                if answer.endswith(b"i00000000") and not is_all:
                    line.sendall(b"%08d" % len(stdin) + stdin)
                    line.shutdown(socket.SHUT_WR)
        return answer
