"""Brokers behind one interface: ``base.Transport``; ``connect`` makes one from a URL."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from ..errors import BadInvocation
from .base import DeadLetter, Delivery, Mail, QueueState, Record, Transport

__all__ = [
    "DeadLetter",
    "Delivery",
    "Mail",
    "QueueState",
    "Record",
    "Transport",
    "check_url",
    "connect",
]


def check_url(url: str) -> str:
    """``url`` if it names a broker this version can use; raises BadInvocation."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise BadInvocation(f"broker URL: {error}") from error
    if parts.scheme == "sqlite":
        path = unquote(parts.path)
        odd = parts.netloc or parts.query or parts.fragment or not path.isprintable()
        if odd or not path.startswith("/") or path.endswith("/"):
            raise BadInvocation(
                f"broker URL {url!r}: write sqlite:///ABSOLUTE/PATH (four slashes in all, "
                "e.g. sqlite:////var/lib/thyme/broker.db)"
            )
        return url
    if parts.scheme in ("amqp", "amqps"):
        # never repeat the URL: it may hold a password
        raise BadInvocation("broker URL: amqp is not built into this version; use sqlite:///PATH")
    raise BadInvocation(f"broker URL: unknown scheme {parts.scheme!r}; use sqlite:///PATH")


def connect(url: str) -> Transport:
    """Connect to the broker at ``url``; raises BadInvocation, BrokerUnreachable or BrokerRefused.

    ``sqlite:////path/to/broker.db`` is the embedded default; the file is made
    by whoever comes first, its directory must exist.
    """
    check_url(url)
    # late, so that a worker imports the one transport that it uses
    from .sqlite import SqliteTransport

    return SqliteTransport(unquote(urlsplit(url).path))
