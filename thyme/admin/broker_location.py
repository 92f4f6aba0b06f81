"""Where the broker is, as its users reach it, and the URL files that say so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

from .errors import FilesUnusable


@dataclass(frozen=True)
class BrokerLocation:
    """The broker without its users.

    ``hosts``: ``name`` or ``name:port``, tried in turn; ``ca``: the path of a PEM file there.
    """

    hosts: tuple[str, ...] = ("localhost",)
    vhost: str = "/"
    tls: bool = False
    ca: str = ""

    def make_url(self, user: str, password: str) -> str:
        """Return the content of a URL file, without a line end."""
        who = f"{quote(user, '')}:{quote(password, '')}"
        scheme = "amqps" if self.tls else "amqp"
        query = f"?cafile={quote(self.ca)}" if self.ca else ""
        return f"{scheme}://{who}@{','.join(self.hosts)}/{quote(self.vhost, '')}{query}"

    @classmethod
    def parse(cls, content: str, path: Path) -> BrokerLocation:
        """Parse a URL file's content; raises FilesUnusable, which names ``path`` alone."""
        try:
            parts = urlsplit(content.strip())
            hosts = tuple(parts.netloc.rpartition("@")[2].split(","))
            vhost, query = unquote(parts.path[1:]), parse_qs(parts.query)
        except ValueError:
            parts, hosts, vhost, query = urlsplit(""), (), "", {}
        if parts.scheme not in ("amqp", "amqps") or not vhost or not all(hosts):
            raise FilesUnusable(f"{path}: holds no broker URL; remove it to have it made again")
        return cls(hosts, vhost, parts.scheme == "amqps", query.get("cafile", [""])[0])


def read_password(content: str, user: str, path: Path) -> str:
    """Return the password of ``user`` in a URL file's ``content``.

    Raises FilesUnusable, which names ``path``, not the content.
    """
    try:
        who, _at, _where = urlsplit(content.strip()).netloc.rpartition("@")
    except ValueError:
        who = ""
    name, _colon, password = who.partition(":")
    if unquote(name) != user or not password:
        raise FilesUnusable(
            f"{path}: holds no URL of {user} with a password; remove it to have one made"
        )
    return unquote(password)
