"""Write what is missing in ``/secrets``: the broker's users, and random passwords.

Runs in the schedd's image (``docker compose run --rm secrets``): the machine needs Docker alone.
What is there stays as it is; to change a password remove its file and run it again. Arguments go
to ``thyme-admin roles``: ``--force`` when BROKER_HOST or TLS has changed.
Files belong to root, mode 0400; Grafana's are readable by the group root, which its container has.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

DIRECTORY = Path("/secrets")
#: Which file may be read by whom.
PASSWORDS = {
    "influxdb-admin-password": 0o400,
    "influxdb-plancton-password": 0o400,
    "influxdb-schedd-password": 0o400,
    "influxdb-grafana-password": 0o440,
    "grafana-admin-password": 0o440,
}
#: Where schedd and pilots find the site's authority.
CA = "/run/secrets/site-ca"


def passwords(directory: Path) -> list[str]:
    """Names of the files that were made."""
    made = []
    for name, mode in PASSWORDS.items():
        path = directory / name
        if path.is_file() and path.stat().st_size:
            continue
        fresh = directory / f".{name}"
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(24) + "\n")
        fresh.chmod(mode)
        fresh.replace(path)
        made.append(name)
    return made


def roles(directory: Path, host: str, pool: str, tls: bool, more: Sequence[str]) -> int:
    """Let thyme-admin write the broker's users and URLs; its exit code."""
    command = ["thyme-admin", "roles", "--dir", str(directory), "--host", host, "--pool", pool]
    if tls:
        command += ["--tls", "--ca", CA]
    return subprocess.run([*command, *more], check=False).returncode


def clear(directory: Path) -> None:
    """Remove the empty directories that docker-compose 1.29 makes for files that are missing."""
    for path in directory.iterdir():
        if path.is_dir():
            path.rmdir()


def main() -> int:
    tls = os.environ.get("TLS", "no") == "yes"
    try:
        DIRECTORY.chmod(0o700)
        clear(DIRECTORY)
        code = roles(DIRECTORY, os.environ["BROKER_HOST"], os.environ["POOL"], tls, sys.argv[1:])
        if code:
            return code
        for name in passwords(DIRECTORY):
            print(f"made secrets/{name}")
    except OSError as error:
        print(f"make_secrets: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
