"""Tell systemd that the daemon works, where systemd started it; sd_notify(3)."""

from __future__ import annotations

import socket
from collections.abc import Mapping


class SystemdNotifier:
    """Messages to systemd; without ``NOTIFY_SOCKET`` (a container, a shell) none are sent."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        where = environ.get("NOTIFY_SOCKET", "")
        # An abstract socket is written with an @ in front.
        self._where = "\0" + where[1:] if where.startswith("@") else where

    def notify_ready(self, summary: str) -> None:
        """Say that the daemon is ready and alive (watchdog), and what it decided."""
        self._tell(f"READY=1\nWATCHDOG=1\nSTATUS={summary}")

    def notify_stopping(self) -> None:
        """Say that the daemon ends."""
        self._tell("STOPPING=1")

    def _tell(self, text: str) -> None:
        if not self._where:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            try:
                line.sendto(text.encode(), self._where)
            except OSError:
                pass  # systemd gets no message, and decides by itself
