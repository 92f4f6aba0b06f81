"""The daemon's log: standard output or a file that rotates, and syslog.

A log that cannot be written (a full disk, a closed pipe) never stops the daemon: lines are
lost and counted, and the count is logged once there is room again.
"""

from __future__ import annotations

import io
import logging
import logging.handlers
import sys
from pathlib import Path

from plancton.config.key_types import parse_syslog_address
from plancton.errors import PlanctonError

_FORMAT = "%(asctime)s %(levelname)s %(message)s"
_SYSLOG_FORMAT = "plancton[%(process)d]: %(message)s"
#: As in 2017, but fewer files; the one that is written is one of them.
_LOG_BYTES = 10_000_000
_LOGS_KEPT = 10

_log = logging.getLogger("plancton")


class _Lossy(logging.Handler):
    """A mix-in for handlers that counts the lines that could not be written."""

    lost = 0
    why = ""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's name)
        """Count the lost line instead of printing a traceback."""
        self.lost += 1
        self.why = str(sys.exc_info()[1])

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, and say first how many were lost before."""
        lost, self.lost = self.lost, 0
        super().emit(record)
        if self.lost:
            self.lost += lost
        elif lost:
            text = f"{lost} lines of this log were lost: {self.why}"
            super().emit(logging.LogRecord(record.name, logging.WARNING, "", 0, text, None, None))


class _Stream(_Lossy, logging.StreamHandler):  # type: ignore[type-arg]
    pass


class _File(_Lossy, logging.handlers.RotatingFileHandler):
    def _open(self) -> io.TextIOWrapper:
        return _unbuffered(open(self.baseFilename, "ab", buffering=0))


class _Syslog(_Lossy, logging.handlers.SysLogHandler):
    def _connect_unixsocket(self, address: str) -> None:
        super()._connect_unixsocket(address)  # type: ignore[misc]
        # A syslog that hangs would block every thread that logs.
        self.socket.setblocking(False)  # type: ignore[attr-defined]


def log_to_stdout() -> logging.Handler:
    """Send the log to standard output, unbuffered; return the handler."""
    return _added(_Stream(_unbuffered(open(1, "wb", buffering=0, closefd=False))), _FORMAT)


def log_to_file(path: Path) -> logging.Handler:
    """Send the log to a file that rotates; return the handler.  Raises PlanctonError."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handler = _File(path, maxBytes=_LOG_BYTES, backupCount=_LOGS_KEPT - 1, encoding="utf-8")
    except OSError as error:
        raise PlanctonError(f"{path}: cannot be written: {error.strerror}") from error
    return _added(handler, _FORMAT)


def _unbuffered(raw: io.RawIOBase) -> io.TextIOWrapper:
    # A buffer that cannot be flushed fails again at every later line, and at the very end.
    return io.TextIOWrapper(raw, encoding="utf-8", errors="replace", write_through=True)  # type: ignore[arg-type]


def remove_handler(handler: logging.Handler) -> None:
    """Stop sending the log to ``handler``."""
    _log.removeHandler(handler)
    try:
        handler.close()
    except OSError:
        pass  # what it could not flush is lost


class Syslog:
    """The syslog that the configuration names, changed when the configuration changes."""

    def __init__(self) -> None:
        self._where = ""
        self._handler: logging.Handler | None = None

    def follow(self, where: str) -> str:
        """Log to ``where`` ("" is nowhere); return why that is not done, or ""."""
        if where == self._where:
            return ""
        self.close()
        if not where:
            return ""
        try:
            if where.startswith("/") and not Path(where).is_socket():
                # The library would make do without it, and say nothing.
                return f"syslog {where}: cannot be reached: there is no such socket"
            handler = _Syslog(parse_syslog_address(where), facility="daemon")
        except OSError as error:
            return f"syslog {where}: cannot be reached: {error.strerror or error}"
        self._where, self._handler = where, _added(handler, _SYSLOG_FORMAT)
        return ""

    def close(self) -> None:
        """Send nothing to syslog any more."""
        if self._handler is not None:
            remove_handler(self._handler)
        self._where, self._handler = "", None


def _added(handler: logging.Handler, form: str) -> logging.Handler:
    handler.setFormatter(logging.Formatter(form))
    _log.setLevel(logging.INFO)
    _log.addHandler(handler)
    return handler
