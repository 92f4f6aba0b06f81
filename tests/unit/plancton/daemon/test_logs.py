"""Logs that rotate, that cannot be written, and that go to syslog; and messages to systemd."""

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from plancton.config.key_types import parse_syslog_address
from plancton.daemon import logs
from plancton.daemon.sd_notify import SystemdNotifier
from plancton.errors import ConfigError, PlanctonError
from plancton.preflight import parse_config
from tests.support.fake_node import FACTS

log = logging.getLogger("plancton")


@pytest.fixture
def handlers() -> Iterator[list[logging.Handler]]:
    made: list[logging.Handler] = []
    yield made
    for handler in made:
        logs.remove_handler(handler)


def test_a_log_rotates_and_only_some_are_kept(
    tmp_path: Path, handlers: list[logging.Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_LOG_BYTES", 200)
    monkeypatch.setattr(logs, "_LOGS_KEPT", 3)
    handlers.append(logs.log_to_file(tmp_path / "log" / "plancton.log"))
    for number in range(50):
        log.info("line %d", number)
    names = sorted(path.name for path in (tmp_path / "log").iterdir())
    assert names == ["plancton.log", "plancton.log.1", "plancton.log.2"]
    assert "line 49" in (tmp_path / "log" / "plancton.log").read_text()


def test_a_log_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file")
    with pytest.raises(PlanctonError, match=r"plancton\.log: cannot be written: "):
        logs.log_to_file(tmp_path / "log" / "plancton.log")


def test_a_full_disk_loses_lines_and_logs_how_many_when_there_is_room(
    tmp_path: Path, handlers: list[logging.Handler], capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plancton.log"
    path.symlink_to("/dev/full")
    handler = logs.log_to_file(path)
    handlers.append(handler)
    log.info("lost one")
    log.info("lost two")
    assert capfd.readouterr().err == "", "no traceback of the logging library"
    path.unlink()
    assert isinstance(handler, logging.FileHandler)
    handler.acquire()
    try:  # there is room: as after a rotation, it opens its file again
        handler.stream.close()
        handler.stream = None  # type: ignore[assignment]
    finally:
        handler.release()
    log.info("there is room")
    text = path.read_text()
    assert "there is room" in text and "lost one" not in text
    assert "2 lines of this log were lost: [Errno 28] No space left on device" in text


# Syslog


@pytest.fixture
def socket_of_syslog(tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(path)
        line.settimeout(10)
        yield line, path


def test_syslog_gets_the_lines_too(socket_of_syslog: tuple[socket.socket, str]) -> None:
    line, path = socket_of_syslog
    syslog = logs.Syslog()
    assert syslog.follow(path) == ""
    log.warning("the disk is full")
    # <28>: daemon.warning, RFC 3164
    assert line.recv(1000).startswith(b"<28>plancton[")
    assert syslog.follow("") == ""
    log.warning("not for it")
    line.setblocking(False)
    with pytest.raises(BlockingIOError):
        line.recv(1000)
    syslog.close()


def test_a_syslog_that_is_not_there_is_reported_and_tried_again(
    tmp_path: Path, socket_of_syslog: tuple[socket.socket, str]
) -> None:
    _, path = socket_of_syslog
    syslog = logs.Syslog()
    problem = syslog.follow(str(tmp_path / "nothing"))
    assert problem == f"syslog {tmp_path}/nothing: cannot be reached: there is no such socket"
    assert syslog.follow(str(tmp_path / "nothing")) == problem
    assert syslog.follow(path) == ""
    syslog.close()


def test_a_syslog_that_hangs_does_not_hang_the_daemon(
    socket_of_syslog: tuple[socket.socket, str],
) -> None:
    """Nobody reads: the socket is soon full, and a write that waits would never end."""
    _, path = socket_of_syslog
    syslog = logs.Syslog()
    assert syslog.follow(path) == ""
    for number in range(2000):
        log.info("line %d", number)
    syslog.close()


def test_a_syslog_elsewhere_is_sent_datagrams() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind(("127.0.0.1", 0))
        line.settimeout(10)
        syslog = logs.Syslog()
        assert syslog.follow(f"127.0.0.1:{line.getsockname()[1]}") == ""
        log.error("no")
        assert line.recv(1000).startswith(b"<27>plancton[")
        syslog.close()


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("/dev/log", "/dev/log"),
        ("10.0.0.1", ("10.0.0.1", 514)),
        ("10.0.0.1:1514", ("10.0.0.1", 1514)),
        ("[::1]:99", ("::1", 99)),
    ],
)
def test_a_syslog_is_a_socket_or_an_address(where: str, found: object) -> None:
    assert parse_syslog_address(where) == found


@pytest.mark.parametrize(
    "where", [":514", "loghost", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:99999", "10.0.0", "::1"]
)
def test_what_is_no_syslog_is_one_clear_line(where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(f"syslog: '{where}'", "c.yaml", FACTS)
    assert str(caught.value) == (
        "c.yaml:1: syslog: must be a socket such as /dev/log, or an IP address[:port], "
        f"not {where!r}"
    )


# systemd


def test_systemd_is_notified_that_the_daemon_is_ready_and_what_it_does(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(path)
        line.settimeout(10)
        supervisor = SystemdNotifier({"NOTIFY_SOCKET": path})
        supervisor.notify_ready("Starting 4 pilots.")
        assert line.recv(1000) == b"READY=1\nWATCHDOG=1\nSTATUS=Starting 4 pilots."
        supervisor.notify_stopping()
        assert line.recv(1000) == b"STOPPING=1"


def test_without_systemd_nobody_is_reported(tmp_path: Path) -> None:
    SystemdNotifier({}).notify_ready("x")
    SystemdNotifier({"NOTIFY_SOCKET": str(tmp_path / "nothing")}).notify_ready("x")
