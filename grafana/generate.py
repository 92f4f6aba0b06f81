"""Makes the dashboards and the alert rules from ``source/``: ``python -m grafana.generate``.

What is committed is what this makes; a test says when it is not.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import yaml

from grafana import alerts, dashboard

HERE = Path(__file__).parent
SOURCE = HERE / "source"
#: In the order of the menu.
DASHBOARDS = ("site", "node", "jobs", "diagnostics")
_HEAD = "# Made by `python -m grafana.generate` from grafana/source/alerts.yml.j2.\n"


def source(name: str) -> Any:
    """Return what ``source/NAME.yml.j2`` says, with its query fragments filled in."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(SOURCE),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - queries, not HTML
    )
    return yaml.safe_load(environment.get_template(f"{name}.yml.j2").render())


def write_lines(content: dict[str, Any]) -> str:
    """Return JSON with a line for each panel or rule, so that a difference shows which changed."""
    parts = []
    for key, value in content.items():
        lines = isinstance(value, list) and any(isinstance(item, dict) for item in value)
        text = (
            "[\n  " + ",\n  ".join(map(json.dumps, value)) + "\n ]" if lines else json.dumps(value)
        )
        parts.append(f" {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}"


def made() -> Iterator[tuple[Path, str]]:
    """Yield every file that is generated, with its content."""
    dashboards = {name: dashboard.build(source(name)) for name in DASHBOARDS}
    for name, one in dashboards.items():
        yield HERE / "dashboards" / f"{name}.json", write_lines(one) + "\n"
    group = write_lines(alerts.build_group(source("alerts"), dashboards))
    # JSON is YAML, too
    rules = f'# yamllint disable-file\n{_HEAD}{{"apiVersion": 1, "groups": [{group}]}}\n'
    yield HERE / "provisioning" / "alerting" / "rules.yml", rules


if __name__ == "__main__":
    for path, content in made():
        path.write_text(content, encoding="utf-8")
