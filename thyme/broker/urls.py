"""Broker URLs: checks them, and connects to the broker that one names."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from thyme.errors import BadInvocation, BrokerUnreachable

from .base import Transport

_FORMS = "use amqp://USER:PASSWORD@HOST/VHOST, amqps://... or sqlite:////PATH"


def check_url(url: str) -> str:
    """Return ``url`` if it names a broker; raises BadInvocation. It may be several AMQP URLs."""
    # a URL may hold a password: it is never repeated
    scheme, separator, _rest = url.strip().partition("://")
    if separator and scheme in ("amqp", "amqps"):
        # late, so that a worker reads only what it needs
        from .amqp import url as amqp_url

        amqp_url.parse(url)
        return url
    if scheme != "sqlite":
        named = f"unknown scheme {scheme!r}" if separator and scheme.isalnum() else "no URL"
        raise BadInvocation(f"broker URL: {named}; {_FORMS}")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise BadInvocation(f"broker URL: {error}") from error
    path = unquote(parts.path)
    # urlsplit takes line ends out: a second line would become a part of the path
    odd = parts.netloc or parts.query or parts.fragment or not (url + path).isprintable()
    if odd or not path.startswith("/") or path.endswith("/"):
        raise BadInvocation(
            f"broker URL {url!r}: write sqlite:///ABSOLUTE/PATH (four slashes in all, "
            "e.g. sqlite:////var/lib/thyme/broker.db)"
        )
    return url


def make_amqp_url(text: str) -> str:
    """Return the URL for ``THYME_RABBITMQ=host[:port]``, as of 2017; raises BadInvocation."""
    from .amqp import url as amqp_url

    return amqp_url.make_amqp_url(text)


def connect(url: str, make: bool = True) -> Transport:
    """Connect to the broker at ``url``; raises BadInvocation, BrokerUnreachable or BrokerRefused.

    ``sqlite:////path/to/broker.db`` is the embedded default; the file is made by the
    first process (with ``make``), its directory must exist. ``amqp[s]://`` is RabbitMQ
    (``amqp/url.py``): several hosts or URLs are nodes of one broker, of which
    the first that answers is taken, in random order.
    """
    check_url(url)
    # late, so that a worker imports the one transport that it uses
    if url.strip().startswith("amqp"):
        from .amqp.transport import AmqpTransport
        from .amqp.url import parse

        return AmqpTransport(parse(url))
    from .sqlite.transport import SqliteTransport

    path = "/" + unquote(urlsplit(url).path).lstrip("/")
    if not make and not Path(path).exists():
        raise BrokerUnreachable(f"broker {path}: no such file; the schedd makes it")
    return SqliteTransport(path)
