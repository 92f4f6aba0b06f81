"""Start Plancton in its container: fill in its configuration and copy the files of pilots.

Needs only the standard library. ``${NAMES}`` in the configuration are variables of the container's
environment; ``${PILOT_FILES}`` is the path of the volume ``PILOT_VOLUME`` on the machine: pilots
are containers beside this one, so their mounts are paths of the machine.

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
#: The volume in this container.
PILOT_FILES = Path("/pilot")
#: The secrets of this container that pilots get, if they exist (``site-ca``: with TLS only).
FOR_PILOTS = ("thyme-worker-url", "site-ca")
SECRETS = Path("/run/secrets")
SOCKET = "/var/run/docker.sock"
#: Seconds for the engine's answer.
TIMEOUT = 30.0


class StartFailed(Exception):
    """Plancton cannot be started; the text is one line for the log."""


class _Engine(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(SOCKET)


def find_mountpoint(volume: str) -> str:
    """Find the path of a volume on the machine. Raises StartFailed."""
    engine = _Engine("localhost")
    try:
        engine.request("GET", f"/volumes/{quote(volume, safe='')}")
        answer = engine.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise StartFailed(f"the engine does not know the volume {volume}: {text.decode()}")
        return str(json.loads(text)["Mountpoint"])
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        raise StartFailed(f"the engine at {SOCKET} does not answer: {error}") from error
    finally:
        engine.close()


def fill_template(template: str, values: Mapping[str, str]) -> str:
    """Fill in the configuration. Raises StartFailed, which names what is not set."""
    try:
        return string.Template(template).substitute(values)
    except KeyError as error:
        raise StartFailed(f"{TEMPLATE} needs {error.args[0]}, which is not set") from None
    except ValueError as error:
        raise StartFailed(f"{TEMPLATE}: {error}; write $$ for a lone $") from None


def copy_pilot_files(source: Path, target: Path) -> None:
    """Copy the files of pilots, each whole; only root can read them, the pilots' jobs cannot."""
    target.chmod(0o700)
    for name in FOR_PILOTS:
        if (source / name).is_file():
            fresh = target / f".{name}"
            fresh.unlink(missing_ok=True)
            shutil.copyfile(source / name, fresh)
            fresh.chmod(0o400)
            fresh.replace(target / name)


def main() -> None:
    """Write the configuration from the template, and become the Plancton daemon."""
    try:
        copy_pilot_files(SECRETS, PILOT_FILES)
        values = {**os.environ, "PILOT_FILES": find_mountpoint(os.environ.get("PILOT_VOLUME", ""))}
        CONFIGURATION.write_text(fill_template(TEMPLATE.read_text(), values))
    except (StartFailed, OSError) as error:
        print(f"start_plancton: {error}", file=sys.stderr)
        sys.exit(1)
    os.execvp("planctonctl", ["planctonctl", "nodaemon"])  # noqa: S606


if __name__ == "__main__":
    main()
