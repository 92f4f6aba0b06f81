"""Write what is missing in ``/secrets``, and give each service its own part of it.

Runs in the schedd's image as the service ``secrets``, which ends before the others begin: the
machine needs Docker alone. What is there stays as it is; to change a password remove its file and
run it again. ``--share-out SERVICE...``: only the second half and only for these, on a node that
has got its files from elsewhere. Other arguments go to ``thyme-admin roles``: ``--force`` when
BROKER_HOST or TLS has changed.

Files belong to root, mode 0400; Grafana's are readable by the group root, which its container has.

Secrets are files and not environment variables, which ``docker inspect`` shows. They are not
compose's own ``secrets:`` either: compose v2 looks for those files before the first service has
made them.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from compose.errors import CannotDo
from compose.secret_files import write

DIRECTORY = Path("/secrets")
#: Which file may be read by whom.
PASSWORDS = {
    "influxdb-admin-password": 0o400,
    "influxdb-plancton-password": 0o400,
    "influxdb-schedd-password": 0o400,
    "influxdb-grafana-password": 0o440,
    "grafana-admin-password": 0o440,
}
#: What a service finds, and under which name; ``{}`` is what WORKER_URL names. Directories, as
#: compose v2 wants each file that it binds to be there before the first container runs.
SHARES = {
    "rabbitmq": {"definitions.json": "definitions.json"},
    "influxdb": {name: name for name in PASSWORDS if name.startswith("influxdb-")},
    "grafana": {name: name for name in PASSWORDS if "grafana" in name},
    "schedd": {
        "vobox.url": "thyme-vobox-url",
        "influxdb-schedd-password": "influxdb-schedd-password",
    },
    "plancton": {
        "{}": "thyme-worker-url",
        "influxdb-plancton-password": "influxdb-plancton-password",
    },
}
TLS_SHARES = {
    "rabbitmq": {name: name for name in ("ca.pem", "server.pem", "server.key")},
    "influxdb": {name: name for name in ("server.pem", "server.key")},
    "grafana": {"ca.pem": "site-ca"},
    "schedd": {"ca.pem": "site-ca"},
    "plancton": {"ca.pem": "site-ca"},
}
#: What the world may know, and servers read that are not root.
PUBLIC = ("ca.pem", "server.pem", "site-ca")
#: Where schedd, pilots and Grafana find the site's authority.
CA = "/run/secrets/site-ca"


def passwords(directory: Path) -> list[str]:
    """Names of the files that were made."""
    made = []
    for name, mode in PASSWORDS.items():
        path = directory / name
        if path.is_file() and path.stat().st_size:
            continue
        write(path, f"{secrets.token_urlsafe(24)}\n".encode(), mode)
        made.append(name)
    return made


def roles(directory: Path, host: str, pool: str, tls: bool, more: Sequence[str]) -> int:
    """Let thyme-admin write the broker's users and URLs; its exit code."""
    command = ["thyme-admin", "roles", "--dir", str(directory), "--host", host, "--pool", pool]
    if tls:
        command += ["--tls", "--ca", CA]
    return subprocess.run([*command, *more], check=False).returncode


def share_out(directory: Path, services: Iterable[str], worker_url: str, tls: bool) -> None:
    """``services/NAME`` has what NAME needs, no more.  Raises CannotDo where that is missing."""
    for service in services:
        place = directory / "services" / service
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o755)
        files = {**SHARES[service], **(TLS_SHARES.get(service, {}) if tls else {})}
        for path in place.iterdir():
            if path.name not in files.values():
                path.unlink()
        for source, name in files.items():
            origin = directory / source.format(worker_url)
            if not origin.is_file():
                raise CannotDo(f"secrets/{origin.name} is missing, which {service} needs")
            content = origin.read_bytes()
            mode = 0o444 if name in PUBLIC else PASSWORDS.get(name, 0o400)
            if not (place / name).is_file() or (place / name).read_bytes() != content:
                write(place / name, content, mode)


def make(directory: Path, environment: Mapping[str, str], arguments: Sequence[str]) -> int:
    """The exit code.  Raises OSError, and CannotDo where there can be no certificate."""
    tls = environment.get("TLS", "no") == "yes"
    # nobody but root goes in, so what is below needs no more of its own
    directory.chmod(0o700)
    services: Iterable[str] = SHARES
    if arguments[:1] == ["--share-out"]:
        services = arguments[1:]
    else:
        host = environment["BROKER_HOST"]
        if tls:
            from compose import make_certificates  # a node has not what it needs

            for name in make_certificates.make(directory, host):
                print(f"made secrets/{name}")
        code = roles(directory, host, environment["POOL"], tls, arguments)
        if code:
            return code
        for name in passwords(directory):
            print(f"made secrets/{name}")
    share_out(directory, services, environment["WORKER_URL"], tls)
    return 0


def main() -> int:
    try:
        return make(DIRECTORY, os.environ, sys.argv[1:])
    except (CannotDo, OSError, ValueError) as error:
        print(f"make_secrets: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
