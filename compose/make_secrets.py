"""Write the secrets that are missing in ``/secrets``, and give each service its own part.

Runs in the schedd's image as the service ``secrets``, which ends before others start: a machine
needs only Docker. Existing files are kept; to change a password remove its file and run it again.
``--share-out SERVICE...``: only give these services their part, on a node that got its files from
elsewhere. Other arguments go to ``thyme-admin roles``: ``--force`` after a change of BROKER_HOST or
TLS.

Files belong to root and have mode 0400; Grafana's are readable by the group root.

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

from compose import make_certificates
from compose.atomic_files import write_file
from compose.errors import SetupFailed

DIRECTORY = Path("/secrets")
#: The files with passwords and their modes.
PASSWORDS = {
    "influxdb-admin-password": 0o400,
    "influxdb-plancton-password": 0o400,
    "influxdb-schedd-password": 0o400,
    "influxdb-grafana-password": 0o440,
    "grafana-admin-password": 0o440,
}
#: The files of each service and their names there; ``{}`` is the file that WORKER_URL names. Each
#: service gets a directory, because compose v2 wants files that it mounts to exist at the start.
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
#: Files that are not secret, and are read by servers that do not run as root.
PUBLIC = ("ca.pem", "server.pem", "site-ca")
#: Where schedd, pilots and Grafana find the CA of the site.
CA = "/run/secrets/site-ca"


def make_passwords(directory: Path) -> list[str]:
    """Write the passwords that are missing; returns the names of the new files."""
    made = []
    for name, mode in PASSWORDS.items():
        path = directory / name
        if path.is_file() and path.stat().st_size:
            continue
        write_file(path, f"{secrets.token_urlsafe(24)}\n".encode(), mode)
        made.append(name)
    return made


def make_broker_users(directory: Path, host: str, pool: str, tls: bool, more: Sequence[str]) -> int:
    """Let thyme-admin write the broker's users and URLs; returns its exit code.

    ``more``: further arguments of ``thyme-admin roles``.
    """
    command = ["thyme-admin", "roles", "--dir", str(directory), "--host", host, "--pool", pool]
    if tls:
        command += ["--tls", "--ca", CA]
    return subprocess.run([*command, *more], check=False).returncode


def share_out(directory: Path, services: Iterable[str], worker_url: str, tls: bool) -> None:
    """Give each service exactly its files, in ``services/NAME``. Raises SetupFailed.

    ``worker_url``: the name of the file with the workers' URL; ``tls``: with certificates.
    """
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
                raise SetupFailed(f"secrets/{origin.name} is missing, which {service} needs")
            content = origin.read_bytes()
            mode = 0o444 if name in PUBLIC else PASSWORDS.get(name, 0o400)
            if not (place / name).is_file() or (place / name).read_bytes() != content:
                write_file(place / name, content, mode)


def make_missing(directory: Path, environment: Mapping[str, str], arguments: Sequence[str]) -> int:
    """Make what is missing; returns the exit code. Raises OSError, SetupFailed, ValueError.

    ``environment``: BROKER_HOST, POOL, TLS and WORKER_URL; ``arguments``: of the command line.
    """
    if environment.get("TLS", "no") not in ("yes", "no"):
        raise SetupFailed(f".env: TLS={environment['TLS']}: write yes or no")
    tls = environment.get("TLS", "no") == "yes"
    # only root may enter, so the files below need no protection of their own
    directory.chmod(0o700)
    services: Iterable[str] = SHARES
    if arguments[:1] == ["--share-out"]:
        services = arguments[1:]
    else:
        host = environment["BROKER_HOST"]
        if tls:
            for name in make_certificates.make_missing(directory, host):
                print(f"made secrets/{name}")
        code = make_broker_users(directory, host, environment["POOL"], tls, arguments)
        if code:
            return code
        for name in make_passwords(directory):
            print(f"made secrets/{name}")
    share_out(directory, services, environment["WORKER_URL"], tls)
    return 0


def main() -> int:
    """Write the secrets that are missing; return the exit code."""
    try:
        return make_missing(DIRECTORY, os.environ, sys.argv[1:])
    except (SetupFailed, OSError, ValueError) as error:
        print(f"make_secrets: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
