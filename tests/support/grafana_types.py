"""The dashboards held against the types that Grafana publishes (@grafana/schema), by tsc."""

import json
import os
import subprocess
from typing import Any

from tests.setup.downloads import GRAFANA
from tests.support.services.programs import need

_RAW = "@grafana/schema/dist/esm/raw"

_HEAD = f"""\
import type {{ Dashboard }} from "{_RAW}/dashboard/x/dashboard_types.gen";
import type {{ Options as stat }} from "{_RAW}/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type {{ Options as bargauge }}
  from "{_RAW}/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen";
import type {{ Options as table, FieldConfig as tableField }}
  from "{_RAW}/composable/table/panelcfg/x/TablePanelCfg_types.gen";
import type {{ Options as timeseries, FieldConfig as timeseriesField }}
  from "{_RAW}/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";
// JSON has the values of enums, not the enums.
type Plain<T> = T extends string ? `${{T}}` : T extends number | boolean | null | undefined ? T
  : T extends (infer U)[] ? Plain<U>[] : {{ [K in keyof T]: Plain<T[K]> }};
"""


#: Kinds of panels of whose options Grafana publishes no types.
_UNTYPED = ("row", "alertlist")


def program(name: str, dashboard: dict[str, Any]) -> str:
    """TypeScript that compiles only if the dashboard has Grafana's form."""
    parts = [f"const {name}: Plain<Dashboard> = {json.dumps(dashboard)};"]
    every = [one for panel in dashboard["panels"] for one in (panel, *panel.get("panels", ()))]
    for one in every:
        kind = one["type"]
        if kind in _UNTYPED:
            continue
        options = json.dumps(one["options"])
        parts.append(f"const {name}_o{one['id']}: Plain<Partial<{kind}>> = {options};")
        if "custom" in one["fieldConfig"]["defaults"]:
            custom = json.dumps(one["fieldConfig"]["defaults"]["custom"])
            parts.append(f"const {name}_f{one['id']}: Plain<Partial<{kind}Field>> = {custom};")
    return "\n".join(parts) + "\n"


def complaints(dashboards: dict[str, dict[str, Any]]) -> str:
    """Return what the compiler says; "" when all is well."""
    need("grafana")
    source = GRAFANA / f"check-{os.getpid()}.ts"
    made = "".join(program(name, dashboard) for name, dashboard in dashboards.items())
    source.write_text(_HEAD + made)
    try:
        answer = subprocess.run(
            [str(GRAFANA / "node_modules/.bin/tsc"), "--noEmit", "--strict", "--skipLibCheck",
             "--module", "es2022", "--moduleResolution", "node10", "--target", "es2022",
             str(source)],
            capture_output=True, text=True, timeout=250, check=False,
        )  # fmt: skip
    finally:
        source.unlink()
    return answer.stdout + answer.stderr if answer.returncode else ""
