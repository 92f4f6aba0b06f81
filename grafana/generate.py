"""Makes the dashboards and the alert rules from ``source/``: ``python -m grafana.generate``.

compose's service ``dashboards`` and the Ansible role run it; what it makes is not committed. It
prints each file that it wrote, and nothing where all are up to date.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jinja2
import yaml

from grafana import alerts, dashboard

HERE = Path(__file__).parent
SOURCE = HERE / "source"
#: In the order of the menu.
DASHBOARDS = ("site", "node", "jobs", "diagnostics")


class _Plain(yaml.SafeDumper):
    """A writer of YAML without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def source(name: str) -> Any:
    """Return what ``source/NAME.yml.j2`` says, with its query fragments filled in."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(SOURCE),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - queries, not HTML
    )
    return yaml.safe_load(environment.get_template(f"{name}.yml.j2").render())


def build_dashboards() -> dict[str, dict[str, Any]]:
    """Return the dashboards by name, as Grafana's JSON has them."""
    return {name: dashboard.build(source(name)) for name in DASHBOARDS}


def build_rules() -> dict[str, Any]:
    """Return the content of the file with the alert rules."""
    return alerts.build(source("alerts"), build_dashboards())


def main() -> None:
    """Write the files that are missing or out of date."""
    made = {
        HERE / "dashboards" / f"{name}.json": json.dumps(one, indent=2) + "\n"
        for name, one in build_dashboards().items()
    }
    rules = yaml.dump(build_rules(), Dumper=_Plain, sort_keys=False, allow_unicode=True)
    made[HERE / "provisioning" / "alerting" / "rules.yml"] = rules
    for path, content in made.items():
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            # replaced, not written over: it may belong to another user, and Grafana may read it
            new = path.with_name(f"{path.name}.{os.getpid()}.new")
            new.write_text(content, encoding="utf-8")
            new.replace(path)
            print(f"wrote {path}")


if __name__ == "__main__":
    main()
