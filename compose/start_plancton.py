"""Start Plancton in its container: fill in its configuration, lay out what pilots may read.

Needs the standard library alone. The configuration's ``${NAMES}`` are the container's environment,
and ``${PILOT_FILES}``: where the machine keeps the volume ``PILOT_VOLUME``. A pilot is a container
beside this one, so what is bound into it is named as the machine names it.

A change of ``.env`` is then a new container, as for every other service; the pilots go on and the
new container adopts them.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import string
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

TEMPLATE = Path("/site/plancton.yaml")
CONFIGURATION = Path("/etc/plancton/config.yaml")
#: The volume, as this container sees it.
PILOT_FILES = Path("/pilot")
#: What a pilot gets of the secrets of this container, where they are there (TLS has an authority).
FOR_PILOTS = ("thyme-worker-url", "site-ca")
SECRETS = Path("/run/secrets")
SOCKET = "/var/run/docker.sock"
#: Seconds for the engine's answer.
TIMEOUT = 30.0


class CannotStart(Exception):
    """One line for the log."""


class _Engine(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(SOCKET)


def place_of(volume: str) -> str:
    """Where the machine keeps that volume.  Raises CannotStart."""
    engine = _Engine("localhost")
    try:
        engine.request("GET", f"/volumes/{quote(volume, safe='')}")
        answer = engine.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise CannotStart(f"the engine does not know the volume {volume}: {text.decode()}")
        return str(json.loads(text)["Mountpoint"])
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        raise CannotStart(f"the engine at {SOCKET} does not answer: {error}") from error
    finally:
        engine.close()


def filled(template: str, values: Mapping[str, str]) -> str:
    """The configuration.  Raises CannotStart, naming what is not set."""
    try:
        return string.Template(template).substitute(values)
    except KeyError as error:
        raise CannotStart(f"{TEMPLATE} needs {error.args[0]}, which is not set") from None
    except ValueError as error:
        raise CannotStart(f"{TEMPLATE}: {error}; write $$ for a lone $") from None


def lay_out(source: Path, target: Path) -> None:
    """Copy what pilots may read; whole files only, in reach of root alone: not of their jobs."""
    target.chmod(0o700)
    for name in FOR_PILOTS:
        if (source / name).is_file():
            fresh = target / f".{name}"
            fresh.unlink(missing_ok=True)
            shutil.copyfile(source / name, fresh)
            fresh.chmod(0o400)
            fresh.replace(target / name)


def main() -> None:
    try:
        lay_out(SECRETS, PILOT_FILES)
        values = {**os.environ, "PILOT_FILES": place_of(os.environ.get("PILOT_VOLUME", ""))}
        CONFIGURATION.write_text(filled(TEMPLATE.read_text(), values))
    except (CannotStart, OSError) as error:
        print(f"start_plancton: {error}", file=sys.stderr)
        sys.exit(1)
    os.execvp("planctonctl", ["planctonctl", "nodaemon"])  # noqa: S606


if __name__ == "__main__":
    main()
