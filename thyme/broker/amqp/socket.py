"""A stream of bytes to one node of the broker, over TCP or TLS, that never blocks for long."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
from collections import deque
from typing import TYPE_CHECKING, Final

from thyme.errors import BrokerError

from .errors import refused, unreachable
from .url import Place, Tls

if TYPE_CHECKING:  # 3 MB that a worker without TLS does not need
    import ssl

#: Seconds for a connection to one address: the next one may answer at once.
CONNECT_TIMEOUT: Final = 10.0
#: Bytes read at once.
_READ: Final = 256 * 1024
#: Bytes given to the kernel at once: a copy each time.
_WRITE: Final = 256 * 1024


class ByteLine:
    def __init__(self, place: Place) -> None:
        """Connect; raises BrokerUnreachable, or BrokerRefused where TLS does not trust it."""
        self.place = place
        self._out: deque[bytes] = deque()
        #: bytes that wait to be written
        self.waiting = 0
        self._wants_write = False
        self._socket = _connected(place)

    # --- bytes --------------------------------------------------------------------

    def read(self) -> bytes | None:
        """What has come; None when nothing has. Raises BrokerUnreachable at the end."""
        try:
            data = self._socket.recv(_READ)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            if _wants_more(error):
                return None
            raise self._lost(error) from error
        if not data:
            raise unreachable(self.place, "it closed the connection")
        return data

    def has_no_more(self, data: bytes) -> bool:
        """After reading ``data``: whether the next ``read`` would find only what came since.

        Not known of TLS, which takes in whole records.
        """
        return self.place.tls is None and len(data) < _READ

    def write(self, data: bytes) -> None:
        """Put ``data`` after all that waits; ``flush`` and ``wait`` send it."""
        self._out.append(data)
        self.waiting += len(data)

    def flush(self) -> None:
        """Send as much as goes without waiting."""
        while self._out:
            piece = self._piece()
            try:
                sent = self._socket.send(piece)
            except (BlockingIOError, InterruptedError):
                self._out.appendleft(piece)
                return
            except OSError as error:
                self._out.appendleft(piece)
                if _wants_more(error):
                    return
                raise self._lost(error) from error
            self.waiting -= sent
            if sent < len(piece):
                self._out.appendleft(piece[sent:])

    def _piece(self) -> bytes:
        """The next bytes to send: many small writes in one."""
        size = 0
        pieces: list[bytes] = []
        while self._out and (not pieces or size + len(self._out[0]) <= _WRITE):
            pieces.append(self._out.popleft())
            size += len(pieces[-1])
        if size > _WRITE:  # one large write
            whole = pieces[0]
            self._out.appendleft(whole[_WRITE:])
            return whole[:_WRITE]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def wait(self, timeout: float, wakeup: int = -1) -> bool:
        """Until there is something to read or to write, or ``wakeup`` is readable: then True."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN | (select.POLLOUT if self._out else 0))
        if wakeup >= 0:
            poll.register(wakeup, select.POLLIN)
        ready = poll.poll(max(0.0, timeout) * 1000)
        return any(handle == wakeup for handle, _event in ready)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()

    def _lost(self, error: OSError) -> BrokerError:
        if error.errno == errno.ETIMEDOUT:
            return unreachable(self.place, "the connection is cut: what we send does not arrive")
        return unreachable(self.place, f"the connection is lost: {error.strerror or error}")


def _wants_more(error: OSError) -> bool:
    """TLS's way of saying that nothing is to be had now."""
    return type(error).__name__ in ("SSLWantReadError", "SSLWantWriteError")


def _connected(place: Place) -> socket.socket:
    try:
        # bytes: a text would be taken through the tables of Unicode, a megabyte in each worker
        host = place.host.encode() if place.host.isascii() else place.host
        found = socket.getaddrinfo(host, place.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        text = getattr(error, "strerror", None) or str(error)
        raise unreachable(place, f"no address is known for {place.host!r}: {text}") from error
    timeout = min(CONNECT_TIMEOUT, place.timeout)
    last = OSError("it has no address")
    for family, kind, protocol, _name, address in found:
        line = socket.socket(family, kind, protocol)
        try:
            line.settimeout(timeout)
            line.connect(address)
            _tune(line, place)
            made = _over_tls(line, place, place.tls) if place.tls else line
            made.setblocking(False)
            return made
        except OSError as error:
            line.close()
            last = error
        except BrokerError:
            line.close()
            raise
    text = "no answer" if isinstance(last, TimeoutError) else last.strerror or str(last)
    raise unreachable(place, text) from last


def _tune(line: socket.socket, place: Place) -> None:
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # what is sent into a cut line: the kernel would try for 15 minutes
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, place.heartbeat * 1000)


def _over_tls(line: socket.socket, place: Place, tls: Tls) -> socket.socket:
    import ssl

    context = _context(place, tls)
    name = tls.server_name or place.host
    try:
        return context.wrap_socket(line, server_hostname=name)
    except ssl.SSLCertVerificationError as error:
        raise refused(
            place,
            f"TLS: its certificate is not believed: {error.verify_message}; name the right "
            "authority with ?cafile=, or its name in the certificate with server_name=",
        ) from error
    except ssl.SSLError as error:
        if "WRONG_VERSION_NUMBER" in str(error) or "RECORD_LAYER" in str(error):
            raise refused(place, "it does not speak TLS on that port; use amqp://") from error
        raise refused(place, f"TLS: {error.reason or error}") from error
    except TimeoutError:
        raise
    except OSError as error:
        # a plain listener ends what it does not understand
        text = f"the connection ended within the TLS handshake: {error.strerror or error}"
        raise unreachable(place, text) from error


def _context(place: Place, tls: Tls) -> ssl.SSLContext:
    import ssl

    for option, file in (
        ("cafile", tls.cafile),
        ("certfile", tls.certfile),
        ("keyfile", tls.keyfile),
    ):
        if file:
            try:
                os.close(os.open(file, os.O_RDONLY | os.O_CLOEXEC))
            except OSError as error:
                raise refused(place, f"TLS: {option} {file}: {error.strerror}") from error
    try:
        context = ssl.create_default_context(cafile=tls.cafile or None)
    except ssl.SSLError as error:
        raise refused(place, f"TLS: cafile {tls.cafile}: no PEM certificate in it") from error
    if tls.certfile:
        try:
            # a password would be asked for on a terminal
            context.load_cert_chain(tls.certfile, tls.keyfile, password=b"")
        except (ssl.SSLError, ValueError) as error:
            raise refused(
                place,
                f"TLS: certfile {tls.certfile} and keyfile {tls.keyfile} are not a certificate "
                "and its key without a password, in PEM",
            ) from error
    return context
