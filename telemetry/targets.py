"""Where points go: the URL of an InfluxDB and the address for Prometheus, parsed and checked."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

#: characters; a device such as /dev/zero has no end
_LONGEST_PASSWORD = 4096
#: The scheme of 2017 for HTTPS that believes any certificate.
INSECURE = "insecure_https"
SCHEMES = ("http", "https", INSECURE)
FORM = (
    "write http[s]://[USER[:PASSWORD]@]HOST[:PORT][/?OPTIONS]#DATABASE, "
    "and characters like / ? # @ % in a password as %XX"
)


class BadTarget(ValueError):
    """A wrong URL or address.  One sentence for the admin; never holds a password."""


@dataclass(frozen=True)
class Target:
    """An InfluxDB: 1.x, or 2.x and 3 through the endpoints of 1.x (the password is a token)."""

    host: str
    port: int
    database: str
    user: str = ""
    #: never shown: the password, or the file that holds it
    password: str = field(default="", repr=False)
    password_file: str = ""
    tls: bool = False
    verify: bool = True
    #: a file with the authority that signed its certificate; "": those that the system trusts
    ca_file: str = ""

    @property
    def name(self) -> str:
        """The name for people and logs."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}#{self.database}"

    def secret(self) -> str:
        """Return the present password: its file may be renewed.  Raises OSError."""
        if not self.password_file:
            return self.password
        with Path(self.password_file).open(encoding="utf-8") as file:
            return file.read(_LONGEST_PASSWORD).strip()


def parse_address(address: str) -> tuple[str, int]:
    """Parse ``HOST:PORT`` or ``:PORT`` (every address).  Raises BadTarget."""
    host, colon, port = address.rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise BadTarget(f"write ADDRESS:PORT, e.g. 127.0.0.1:9095, not {address!r}")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104


def parse(url: str) -> Target:
    """Parse a URL.  Raises BadTarget."""
    url = url.strip()
    if not url.isprintable() or " " in url:
        raise BadTarget(f"the URL of an InfluxDB holds a blank or a control character; {FORM}")
    scheme, _, rest = url.partition("://")
    if scheme not in SCHEMES:
        known = ", ".join(SCHEMES)
        raise BadTarget(f"unknown scheme of an InfluxDB's URL; use one of {known}: {FORM}")
    try:
        # an underscore is in no scheme that urlsplit knows
        parts = urlsplit(f"http://{rest}")
        port = parts.port
    except ValueError:
        # the error repeats what may be a part of the password
        raise BadTarget(f"the URL of an InfluxDB is wrong before the database; {FORM}") from None
    if "#" in parts.fragment:
        raise BadTarget(f"the URL of an InfluxDB has more than one #; {FORM}")
    if not parts.hostname:
        raise BadTarget(f"the URL of an InfluxDB has no host; {FORM}")
    where = f"the URL of the InfluxDB at {parts.hostname}"
    if not parts.fragment:
        raise BadTarget(f"{where} names no database; {FORM}")
    query = parse_qs(parts.query, keep_blank_values=True)
    files = query.pop("password_file", [""])
    ca_files = query.pop("ca_file", [""])
    if query or parts.path not in ("", "/"):
        raise BadTarget(
            f"{where} has parts that mean nothing here; {FORM}, "
            "with password_file=PATH and ca_file=PATH (joined by &) as options"
        )
    if files[0] and parts.password:
        raise BadTarget(f"{where} has a password and a password_file; write one of them")
    if ca_files[0] and scheme != "https":
        raise BadTarget(f"{where} has a ca_file, which only https looks at")
    return Target(
        host=parts.hostname,
        port=port or 8086,
        database=unquote(parts.fragment),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        password_file=files[0],
        tls=scheme != "http",
        verify=scheme != INSECURE,
        ca_file=ca_files[0],
    )


def parse_all(urls: str | tuple[str, ...] | None) -> tuple[Target, ...]:
    """Parse one URL, several or none.  Raises BadTarget."""
    if not urls:
        return ()
    return tuple(parse(url) for url in ((urls,) if isinstance(urls, str) else urls))
