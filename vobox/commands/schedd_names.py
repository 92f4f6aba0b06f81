"""Whether the schedd or the pool that a command line names is ours: the only one here."""

from __future__ import annotations

_LOCAL = ("localhost", "127.0.0.1", "[::1]")


def is_schedd(name: str, ours: str) -> bool:
    """Return whether ``-name`` means our schedd: by its name, host name or short host name."""
    name, ours = name.lower(), ours.lower()
    host = get_host(ours)
    if "@" in name:
        return name == ours or (name.startswith("@") and name[1:] == host)
    return name in {ours, host, host.partition(".")[0], "localhost"}


def is_pool(pool: str, ours: str) -> bool:
    """Return whether ``-pool HOST[:PORT]`` means the pool that our schedd stands for by itself."""
    host = pool.strip("<>").partition("?")[0].lower()
    if not host.startswith("[") or "]:" in host:
        host = host.rpartition(":")[0] or host
    ours = get_host(ours.lower())
    return host in {ours, ours.partition(".")[0], *_LOCAL}


def get_host(name: str) -> str:
    """Return the host of ``name@host``."""
    return name.rpartition("@")[2]


def format_address(address: str) -> str:
    """Return a sinful string as titles show it: ``<ip:port?...``, its parameters left out.

    A socket's path is such a parameter (``sock``): what is left of it is the
    loopback, without a port.
    """
    host = address.strip("<>").partition("?")[0]
    return f"<{'127.0.0.1:0' if '/' in host or not host else host}?..."
