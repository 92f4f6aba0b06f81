"""Parses ``amqp://`` URLs: where RabbitMQ is, and our user. No error holds a password.

``amqp[s]://[user[:password]@]host[:port][,host[:port]...][/vhost][?option=value&...]``, after
https://www.rabbitmq.com/docs/uri-spec; several URLs are separated by white space. All hosts are
nodes of one broker, tried in turn.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from thyme.errors import BadInvocation

#: Seconds without any byte from the other side after which a connection is dead.
HEARTBEAT: Final = 60
#: Seconds that the broker may take for one answer, or for a connection.
TIMEOUT: Final = 30.0
#: RabbitMQ's default user, who may log in from its own machine only.
GUEST: Final = "guest"

_PORTS: Final = {"amqp": 5672, "amqps": 5671}
_TLS_OPTIONS: Final = ("cafile", "certfile", "keyfile", "server_name")
_OPTIONS: Final = (*_TLS_OPTIONS, "heartbeat", "timeout")
_URL: Final = re.compile(r"(amqps?)://(?:([^/?#]*)@)?([^/?#@]+)(?:/([^?#]*))?(?:\?([^#]*))?")
_FORM: Final = (
    "write amqp://USER:PASSWORD@HOST:PORT/VHOST, and characters like / ? # @ % in the user, the "
    "password and the vhost as %XX"
)
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.%\w]+\]|[^\[\]:,\s]+)(?::([0-9]{1,5}))?")


@dataclass(frozen=True)
class Tls:
    """Options of TLS, each of which may be "".

    ``cafile``: PEM file of trusted authorities (default: the system's); ``certfile`` and
    ``keyfile``: our certificate; ``server_name``: the name in the server's certificate, where it
    is not the host's.
    """

    cafile: str = ""
    certfile: str = ""
    keyfile: str = ""
    server_name: str = ""


@dataclass(frozen=True)
class BrokerAddress:
    """One node of a broker; ``heartbeat`` and ``timeout`` in seconds. Its text has no password."""

    host: str
    port: int
    vhost: str = "/"
    user: str = GUEST
    password: str = field(default=GUEST, repr=False)
    tls: Tls | None = None
    heartbeat: int = HEARTBEAT
    timeout: float = TIMEOUT

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'amqps' if self.tls else 'amqp'}://{host}:{self.port}"

    @property
    def by_certificate(self) -> bool:
        """Whether we log in by the client certificate, without a password."""
        return not self.user


def parse(text: str) -> tuple[BrokerAddress, ...]:
    """Return the addresses in ``text``, in its order; raises BadInvocation."""
    addresses = [address for url in text.split() for address in _parse_one(url)]
    if not addresses:
        raise BadInvocation("broker URL: it is empty")
    return tuple(addresses)


def _parse_one(url: str) -> list[BrokerAddress]:
    found = _URL.fullmatch(url)
    if not found:
        raise _make_error(_FORM)
    scheme, who, hosts, path, query = found.groups()
    if who is None and path and "@" in path:
        # the first half of a password would be the port
        raise _make_error(_FORM)
    options = _parse_options(query or "")
    tls = _parse_tls(scheme, options)
    # no user but a certificate: that one is to be believed
    certified = tls is not None and bool(tls.certfile)
    nobody = "" if certified else GUEST
    user, password = (nobody, nobody) if who is None else _parse_user(who)
    return [
        BrokerAddress(
            host=host,
            port=port,
            vhost=_decode(path, "vhost") if path else "/",
            user=user,
            password=password,
            tls=tls,
            heartbeat=int(_parse_number(options, "heartbeat", HEARTBEAT, least=5, most=3600)),
            timeout=_parse_number(options, "timeout", TIMEOUT, least=0.1, most=3600),
        )
        for host, port in _parse_hosts(hosts, _PORTS[scheme])
    ]


def _parse_user(who: str) -> tuple[str, str]:
    user, colon, password = who.partition(":")
    if not user or not colon:
        raise _make_error("write USER:PASSWORD before the @")
    return _decode(user, "user"), _decode(password, "password")


def _parse_hosts(text: str, default_port: int) -> list[tuple[str, int]]:
    hosts = []
    for one in text.split(","):
        found = _HOST.fullmatch(one)
        if not found:
            raise _make_error("a host is written NAME:PORT, 192.0.2.1:PORT or [2001:db8::1]:PORT")
        port = int(found[2] or default_port)
        if not 0 < port < 65536:
            raise _make_error(f"port {port} is not between 1 and 65535")
        hosts.append((found[1].strip("[]"), port))
    return hosts


def _parse_options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for item in filter(None, query.split("&")):
        name, equals, value = item.partition("=")
        if name not in _OPTIONS and "@" in query:
            raise _make_error(_FORM)
        if name not in _OPTIONS:
            import difflib  # of use here only, and workers are to stay small

            near = difflib.get_close_matches(name, _OPTIONS, 1)
            hint = f"did you mean {near[0]!r}?" if near else "known are " + ", ".join(_OPTIONS)
            raise _make_error(f"unknown option {name[:40]!r}; {hint}")
        if name in options or not equals or not value:
            raise _make_error(f"option {name!r} needs one value")
        options[name] = _decode(value, name)
    return options


def _parse_tls(scheme: str, options: dict[str, str]) -> Tls | None:
    given = {name: options[name] for name in _TLS_OPTIONS if name in options}
    if scheme == "amqp":
        if given:
            raise _make_error(f"option {next(iter(given))!r} is for amqps:// only")
        return None
    if ("certfile" in given) != ("keyfile" in given):
        raise _make_error("options 'certfile' and 'keyfile' are given both or not at all")
    return Tls(**given)


def _parse_number(
    options: dict[str, str], name: str, default: float, least: float, most: float
) -> float:
    text = options.get(name, str(default))
    if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) and least <= float(text) <= most:
        return float(text)
    raise _make_error(f"option {name!r} is a number of seconds between {least:g} and {most:g}")


def _decode(text: str, what: str) -> str:
    try:
        plain = unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise _make_error(f"the {what} is not UTF-8") from error
    if "\0" in plain or len(plain.encode()) > 255:
        raise _make_error(f"the {what} is too long, or has a zero byte in it")
    return plain


def _make_error(text: str) -> BadInvocation:
    return BadInvocation(f"broker URL: {text}")


def make_amqp_url(text: str) -> str:
    """Return the URL for ``THYME_RABBITMQ=host[:port]``, as of 2017; raises BadInvocation."""
    if not _HOST.fullmatch(text):
        raise BadInvocation(
            "THYME_RABBITMQ: write HOST or HOST:PORT, IPv6 as [2001:db8::1]:PORT; for a user and a "
            "password use THYME_URL_FILE"
        )
    return f"amqp://{text}"
