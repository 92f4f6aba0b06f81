"""``make dashboards-preview``: fills an InfluxDB of its own by a real run and draws the pages."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from grafana import preview
from tests.support.process_site import LiveSite
from tests.support.services.influx import InfluxServer
from tests.support.site_with_metrics import Filled

OUTPUT = Path("build/dashboards")


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="preview-") as directory:
        root = Path(directory)
        for name in ("influxdb", "site", "node"):
            (root / name).mkdir()
        server, site = InfluxServer(root / "influxdb"), LiveSite(root / "site")
        try:
            server.up()
            filled = Filled(site, server)
            print("a site works for half a minute ...")
            filled.work()
            filled.fail()
            filled.image(root / "node")
            for path in preview.write(filled.client, OUTPUT, filled.period):
                print(path)
            filled.client.close()
        finally:
            site.stop()
            server.clean()
    return 0


if __name__ == "__main__":
    sys.exit(main())
