"""The dashboards held against the types that Grafana publishes (@grafana/schema), by tsc."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.support.services.programs import lacking, need, which

ROOT = Path(__file__).parents[2]
#: Kept between runs; `make clean` removes it.
PLACE = ROOT / "build" / "grafana-types"
PACKAGES = ("@grafana/schema@11.6.0", "typescript@5.9.2")
_RAW = "@grafana/schema/dist/esm/raw"

_HEAD = f"""\
import type {{ Dashboard }} from "{_RAW}/dashboard/x/dashboard_types.gen";
import type {{ Options as stat }} from "{_RAW}/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type {{ Options as gauge }}
  from "{_RAW}/composable/gauge/panelcfg/x/GaugePanelCfg_types.gen";
import type {{ Options as table, FieldConfig as tableField }}
  from "{_RAW}/composable/table/panelcfg/x/TablePanelCfg_types.gen";
import type {{ Options as timeseries, FieldConfig as timeseriesField }}
  from "{_RAW}/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";
// JSON has the values of enums, not the enums.
type Plain<T> = T extends string ? `${{T}}` : T extends number | boolean | null | undefined ? T
  : T extends (infer U)[] ? Plain<U>[] : {{ [K in keyof T]: Plain<T[K]> }};
"""


def types() -> Path:
    """The directory with the types and the compiler; skips or fails where it cannot be had."""
    need("Checking dashboards against Grafana's types", ["node", "npm"], ["npm"], root=False)
    wanted = json.dumps(PACKAGES)
    stamp = PLACE / "installed"
    if not stamp.exists() or stamp.read_text() != wanted:
        PLACE.mkdir(parents=True, exist_ok=True)
        npm = which("npm")
        assert npm is not None
        command = [
            npm, "install", "--prefix", str(PLACE), "--no-audit", "--no-fund", "--ignore-scripts",
            "--omit=peer", "--fetch-retries=1", *PACKAGES,
        ]  # fmt: skip
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=250)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            lacking(f"Grafana's types cannot be had: {error}: {error.stderr}")
        stamp.write_text(wanted)
    return PLACE


def program(name: str, dashboard: dict[str, Any]) -> str:
    """TypeScript that compiles only if the dashboard has Grafana's form."""
    parts = [f"const {name}: Plain<Dashboard> = {json.dumps(dashboard)};"]
    for one in dashboard["panels"]:
        kind = one["type"]
        if kind == "row":
            continue
        options = json.dumps(one["options"])
        parts.append(f"const {name}_o{one['id']}: Plain<Partial<{kind}>> = {options};")
        if "custom" in one["fieldConfig"]["defaults"]:
            custom = json.dumps(one["fieldConfig"]["defaults"]["custom"])
            parts.append(f"const {name}_f{one['id']}: Plain<Partial<{kind}Field>> = {custom};")
    return "\n".join(parts) + "\n"


def complaints(dashboards: dict[str, dict[str, Any]]) -> str:
    """What the compiler says; "" when all is well."""
    place = types()
    source = place / f"check-{os.getpid()}.ts"
    made = "".join(program(name, dashboard) for name, dashboard in dashboards.items())
    source.write_text(_HEAD + made)
    try:
        answer = subprocess.run(
            [str(place / "node_modules/.bin/tsc"), "--noEmit", "--strict", "--skipLibCheck",
             "--module", "es2022", "--moduleResolution", "node10", "--target", "es2022",
             str(source)],
            capture_output=True, text=True, timeout=250, check=False,
        )  # fmt: skip
    finally:
        source.unlink()
    return answer.stdout + answer.stderr if answer.returncode else ""
