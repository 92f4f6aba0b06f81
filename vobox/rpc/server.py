"""The server side of the condor commands' socket; ``vobox/client/client.py`` is the client.

The kernel tells who the caller is (SO_PEERCRED). Each connection has a thread of
its own: a slow reader keeps no other waiting.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import logging
import os
import socket
import socketserver
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from commandline.parser import describe_no_thread
from thyme.errors import is_worth_a_line
from vobox.files.as_user import user_name

from .connection_limit import ConnectionLimit, OwnerSlots, raise_connection_limit
from .types import Answer, CommandRefused, Request

log = logging.getLogger(__name__)

#: Bytes of arguments and environment; Linux itself allows a command a little over 2 MiB.
MAX_REQUEST_BYTES = 4 * 1024 * 1024
#: Bytes of arguments and environments of one user's commands at once; in memory they take up to
#: 34 times as much (many short words).
MAX_REQUESTS_BYTES = 8 * 1024 * 1024
#: Bytes of stdin, a submit description.
MAX_STDIN_BYTES = 4 * 1024 * 1024
#: Submits of one user that are read and computed at once; each may hold 150 MiB.
MAX_SUBMITS = 4
#: Seconds after which a thread that computes lets another have Python's one lock, while there are
#: commands. After 5 ms, which is the default, a job took 5 s beside four large submits, as for each
#: turn the schedd's own thread waited for four others.
SWITCH_SECONDS = 0.001
#: Seconds without a byte from a client after which its connection is closed.
TIMEOUT_SECONDS = 60.0
#: Seconds that a program may take which the client runs for the schedd.
RUN_TIMEOUT_SECONDS = 600.0
#: Seconds between two words to a client that waits; it gives up after 120 s without one.
ALIVE_SECONDS = 10.0
#: Bytes of one frame of output.
_FRAME_BYTES = 1 << 16

Handler = Callable[[Request], Answer]
#: Whether a command with these arguments reads stdin.
WantsStdin = Callable[[str, Sequence[str]], bool]


class BadRequest(CommandRefused):
    """What was received is not a request of the condor commands, or not what was asked for."""


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """The server; ``handler`` runs in the connection's thread."""

    daemon_threads = True
    #: a CE may start a hundred commands in one moment
    request_queue_size = 512

    def __init__(self, path: Path, handler: Handler, wants_stdin: WantsStdin) -> None:
        """Listen at ``path``.

        ``handler`` answers a request; ``wants_stdin`` tells whether a command reads its standard
        input. Raises OSError where the path cannot be used or another schedd serves there.
        """
        self.handler = handler
        self.wants_stdin = wants_stdin
        self.connection_limit = ConnectionLimit(raise_connection_limit())
        self.request_bytes = OwnerSlots(MAX_REQUESTS_BYTES)
        self.submits = OwnerSlots(MAX_SUBMITS)
        #: requests of each user that were refused
        self._refused: Counter[int] = Counter()
        self._busy = 0
        self._switch_seconds = sys.getswitchinterval()
        self._changed = threading.Condition()
        _remove_dead_socket(path)
        super().__init__(str(path), _Connection)
        # as root for all users, each known by its uid; else for this user alone
        path.chmod(0o666 if os.geteuid() == 0 else 0o600)

    def server_bind(self) -> None:
        """Bind the socket so that only its owner could use it until its mode is set."""
        previous = os.umask(0o177)
        try:
            super().server_bind()
        finally:
            os.umask(previous)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; pause where no file descriptor is left."""
        try:
            return super().get_request()
        except OSError:
            # no file descriptor is left: the connection waits, and accepting it at once would fail
            time.sleep(0.05)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Handle a connection in a thread; refuse it where the node gives none."""
        try:
            super().process_request(request, client_address)
        except RuntimeError as error:
            if not (why := describe_no_thread(error)):
                raise
            self.log_refusal(_read_credentials(request)[0], why)
            # small enough for the socket's buffer: the others do not wait for this client
            request.setblocking(False)
            text = f"thyme-schedd: {why}; try again\n".encode()
            with contextlib.suppress(OSError):
                request.sendall(_make_frame(b"e", text) + _make_frame(b"x", b"1"))
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Handle a connection, counted as busy so that ``close`` can wait for it."""
        with self._changed:
            self._busy += 1
            sys.setswitchinterval(SWITCH_SECONDS)
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._changed:
                self._busy -= 1
                if not self._busy:
                    sys.setswitchinterval(self._switch_seconds)
                self._changed.notify_all()

    def log_refusal(self, uid: int, why: object) -> None:
        """Log that a request of this user is refused, unless there were many."""
        self._refused[uid] += 1
        if is_worth_a_line(self._refused[uid]):
            log.warning("refused a request of uid %d (%d so far): %s", uid, self._refused[uid], why)

    def drain(self, timeout: float) -> bool:
        """Wait until all commands have their answers; False if ``timeout`` seconds are too few."""
        with self._changed:
            return self._changed.wait_for(lambda: self._busy == 0, timeout)

    def handle_error(self, _request: object, _client: object) -> None:
        """Log an error of the schedd; the other connections go on."""
        log.exception("a command failed by a fault of the schedd")


def _remove_dead_socket(path: Path) -> None:
    if not path.exists():
        return
    if not path.is_socket():
        raise FileExistsError(errno.EEXIST, "there is a file that is no socket", str(path))
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(errno.EADDRINUSE, "another schedd is serving there", str(path))


class _Connection(socketserver.StreamRequestHandler):
    """A client's connection, and the ``vobox.rpc.types.Caller`` of its command."""

    timeout = TIMEOUT_SECONDS
    server: Server

    def handle(self) -> None:
        try:
            self._serve()
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            log.info("a client went away")

    def _serve(self) -> None:
        uid, gid = _read_credentials(self.connection)
        with self.server.connection_limit.enter(uid) as why:
            if why:
                self.server.log_refusal(uid, why)
                self._answer(Answer(stderr=f"thyme-schedd: {why}\n", code=1))
            else:
                self._serve_user(uid, gid)

    def _serve_user(self, uid: int, gid: int) -> None:
        with contextlib.ExitStack() as held:
            try:
                size = self._read_size()
                held.enter_context(self.server.request_bytes.hold(uid, size))
                request = self._read(uid, gid, size)
            except BadRequest as error:
                self.server.log_refusal(uid, error)
                self._answer(Answer(stderr=f"thyme-schedd: {error}\n", code=1))
                return
            if request.command == "condor_submit":
                held.enter_context(self.server.submits.hold(uid))
            self._handle(request)

    def _handle(self, request: Request) -> None:
        try:
            if self.server.wants_stdin(request.command, request.argv):
                request = dataclasses.replace(request, stdin=self.stdin())
            answer = self.server.handler(request)
        except BadRequest as error:
            self.server.log_refusal(request.uid, error)
            answer = Answer(stderr=f"thyme-schedd: {error}\n", code=1)
        except (BrokenPipeError, ConnectionResetError):
            raise  # the client was killed, and no fault is ours
        except Exception:
            log.exception("%s failed by a fault of the schedd", request.command)
            text = f"ERROR: {request.command} failed in the schedd; its log tells more\n"
            answer = Answer(stderr=text, code=1)
        self._answer(answer)

    def _read_size(self) -> int:
        """Return the bytes of the request that follows; raises BadRequest."""
        head = self.rfile.readline(64)
        words = head.split()
        if len(words) != 3 or words[0] != b"thyme-rpc" or not words[2].isdigit():
            raise BadRequest("this is the socket of the condor commands; something else connected")
        if words[1] != b"1":
            raise BadRequest(
                f"the command speaks version {words[1].decode('ascii', 'replace')} of the "
                "protocol, this schedd version 1; install the same release on both sides"
            )
        size = int(words[2])
        if size > MAX_REQUEST_BYTES:
            raise BadRequest(
                f"{size} bytes of arguments and environment; at most {MAX_REQUEST_BYTES}"
            )
        return size

    def _read(self, uid: int, gid: int, size: int) -> Request:
        body = self.rfile.read(size)
        fields = [os.fsdecode(each) for each in body.split(b"\0")[:-1]]
        if len(body) != size or len(fields) < 3 or not _is_count(fields[2]):
            raise BadRequest("the request is cut short")
        count = int(fields[2])
        command, argv, env = fields[0], fields[3 : 3 + count], fields[3 + count :]
        if len(argv) != count:
            raise BadRequest("the request is cut short")
        pairs = (each.partition("=") for each in env)
        self._next_word = time.monotonic() + ALIVE_SECONDS
        return Request(
            command=command,
            argv=argv,
            cwd=fields[1],
            env={name: value for name, equals, value in pairs if equals},
            uid=uid,
            gid=gid,
            user=user_name(uid),
            stdin=b"",
            caller=self,
        )

    def run(self, argv: Sequence[str], limit: int) -> tuple[int, bytes]:
        """Let the client run a program; raises BadRequest."""
        words = [str(limit), *argv]
        self._frame(b"r", b"".join(os.fsencode(word) + b"\0" for word in words))
        self.connection.settimeout(RUN_TIMEOUT_SECONDS)
        try:
            head = self._receive(8)
            if len(head) != 8 or not head.isdigit() or int(head) > limit + 16:
                raise BadRequest(f"the output of {argv[0]} is cut short or over {limit} bytes")
            code, mark, output = self._receive(int(head)).partition(b"\n")
        finally:
            self.connection.settimeout(TIMEOUT_SECONDS)
        is_code = code.isdigit() and len(code) < 9
        if not mark or not is_code or len(mark + code + output) != int(head):
            raise BadRequest(f"the output of {argv[0]} is cut short")
        return int(code), output

    def stdin(self) -> bytes:
        """Ask the client for its standard input; raises BadRequest."""
        self._frame(b"i", b"")
        head = self._receive(8)
        if len(head) != 8 or not head.isdigit() or int(head) > MAX_STDIN_BYTES:
            raise BadRequest(f"standard input is cut short or over {MAX_STDIN_BYTES} bytes")
        data = self._receive(int(head))
        if len(data) != int(head):
            raise BadRequest("standard input is cut short")
        return data

    def _receive(self, size: int) -> bytes:
        """Return what the client sends, up to so many bytes; raises BadRequest."""
        try:
            return self.rfile.read(size)
        except TimeoutError as error:
            raise BadRequest("the client was asked for something, and sends nothing") from error

    def _answer(self, answer: Answer) -> None:
        self._print(answer)
        code = answer.code
        try:
            for part in answer.more or ():
                self._print(part)
                self._show_alive()
                code = part.code
        except OSError:
            raise
        except Exception:
            log.exception("the rest of an answer failed by a fault of the schedd")
            self._print(Answer(stderr="ERROR: failed in the schedd; its log tells more\n"))
            code = 1
        self._frame(b"x", str(code).encode())

    def _print(self, answer: Answer) -> None:
        for kind, text in ((b"o", answer.stdout), (b"e", answer.stderr)):
            data = _encode(text)
            for start in range(0, len(data), _FRAME_BYTES):
                self._frame(kind, data[start : start + _FRAME_BYTES])

    def keep_waiting(self) -> None:
        """Show the client that the schedd is there, if that is due; raises CommandRefused."""
        if time.monotonic() < self._next_word:
            return
        self._next_word = time.monotonic() + ALIVE_SECONDS
        try:
            self._show_alive()
        except OSError as error:
            raise CommandRefused("the client went away") from error

    def _show_alive(self) -> None:
        """Show the client that the schedd is there, and see whether it is; raises OSError."""
        self._frame(b"o", b"")

    def _frame(self, kind: bytes, data: bytes) -> None:
        self.wfile.write(_make_frame(kind, data))


def _read_credentials(connection: socket.socket) -> tuple[int, int]:
    """Return the uid and the gid of the client, as the kernel knows them."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    _pid, uid, gid = struct.unpack("3i", credentials)
    return uid, gid


def _make_frame(kind: bytes, data: bytes) -> bytes:
    return b"%s%08d" % (kind, len(data)) + data


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 9


def _encode(text: str) -> bytes:
    """Encode text so that file names that are not UTF-8 come out as they went in."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a surrogate pair, out of an expression
        return text.encode("utf-8", "backslashreplace")
