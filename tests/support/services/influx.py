"""Real InfluxDB servers for tests, on loopback, optionally with users or TLS."""

import os
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from influxdb import InfluxDBClient
from influxdb.exceptions import InfluxDBClientError

from tests.support.services.certificates import Signed
from tests.support.services.programs import (
    Program,
    end_all_with,
    need,
    skip_or_fail,
    unmount_all_in,
)
from tests.support.services.rabbitmq import free_port
from tests.support.waiting import wait_until

_CONFIGURATION = """\
reporting-disabled = true
bind-address = "127.0.0.1:{rpc_port}"
[meta]
dir = "{data}/meta"
[data]
dir = "{data}/data"
wal-dir = "{data}/wal"
index-version = "tsi1"
query-log-enabled = false
[monitor]
store-enabled = false
[http]
bind-address = "127.0.0.1:{port}"
auth-enabled = {auth}
log-enabled = false
https-enabled = {tls}
https-certificate = "{certificate}"
https-private-key = "{key}"
"""

ADMIN, ADMIN_PASSWORD = "admin", "of the admin"
_START_SECONDS = 60.0


class InfluxServer:
    """One server.  ``ca`` signed its certificate; ``disk``: bytes for its data (as root)."""

    def __init__(
        self,
        directory: Path,
        *,
        auth: bool = False,
        certificate: Signed | None = None,
        ca: Path | None = None,
        disk: int | None = None,
    ) -> None:
        need("influxdb")
        if disk is not None and os.geteuid() != 0:
            skip_or_fail("a disk of its own needs root")
        self.directory, self.auth, self.tls = directory, auth, certificate is not None
        self.ca = ca
        self.port = free_port()
        self.log = directory / "influxd.log"
        data = directory / "data"
        data.mkdir()
        if disk is not None:
            mount = ["mount", "-t", "tmpfs", "-o", f"size={disk}", "tmpfs", str(data)]
            subprocess.run(mount, check=True, capture_output=True)
        self.data = data
        (directory / "influxdb.conf").write_text(
            _CONFIGURATION.format(
                rpc_port=free_port(),
                port=self.port,
                data=data,
                auth=str(auth).lower(),
                tls=str(self.tls).lower(),
                certificate=certificate.certificate if certificate else "",
                key=certificate.key if certificate else "",
            )
        )
        self.program: Program | None = None

    def up(self) -> None:
        """Start it and wait until it answers; the same port and data each time."""
        config = str(self.directory / "influxdb.conf")
        self.program = Program(["influxd", "run", "-config", config], self.log)
        wait_until(self.answers, "InfluxDB to answer", timeout=_START_SECONDS, state=self.said)
        if self.auth:
            # the first user may be made by anybody; later ones only by it
            self._ask(f"CREATE USER {ADMIN} WITH PASSWORD '{ADMIN_PASSWORD}' WITH ALL PRIVILEGES")
            wait_until(self._knows_admin, "InfluxDB to know its admin", state=self.said)

    @property
    def pid(self) -> int:
        assert self.program is not None
        return self.program.pid

    def kill(self) -> None:
        """Kill -9 it."""
        assert self.program is not None
        self.program.process.kill()
        self.program.process.wait()
        self.program = None

    def down(self) -> None:
        assert self.program is not None
        self.program.end()
        self.program = None

    def answers(self) -> bool:
        assert self.program is not None
        assert self.program.process.poll() is None, self.said()
        client = self.client()
        try:
            client.ping()
        except Exception:
            return False
        finally:
            client.close()
        return True

    def _knows_admin(self) -> bool:
        try:
            return self.databases() is not None
        except InfluxDBClientError:
            return False

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    def client(self, database: str = "") -> Any:
        """As the admin."""
        user = {"username": ADMIN, "password": ADMIN_PASSWORD} if self.auth else {}
        return InfluxDBClient(
            "127.0.0.1",
            self.port,
            database=database,
            ssl=self.tls,
            verify_ssl=str(self.ca) if self.ca else False,
            timeout=20,
            retries=1,
            **user,
        )

    def query(self, database: str, text: str) -> list[dict[str, Any]]:
        """Return the rows; the columns of a tag are in each."""
        client = self.client(database)
        try:
            found = client.query(text)
            rows = []
            for (_name, tags), points in found.items():
                rows += [{**(tags or {}), **point} for point in points]
            return rows
        finally:
            client.close()

    def databases(self) -> list[str]:
        client = self.client()
        try:
            return [row["name"] for row in client.get_list_database()]
        finally:
            client.close()

    def clean(self) -> None:
        if self.program is not None:
            self.program.end()
        end_all_with(self.directory)
        unmount_all_in(self.directory)

    def _ask(self, query: str) -> None:
        scheme = "https" if self.tls else "http"
        data = urllib.parse.urlencode({"q": query}).encode()
        try:
            urllib.request.urlopen(f"{scheme}://127.0.0.1:{self.port}/query", data, timeout=20)  # noqa: S310
        except urllib.error.HTTPError as error:
            if error.code not in (401, 403):  # there is one: it was up before
                raise
