"""Format the status document for people: lines, and a table of the pilots."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .document import describe_state
from .wrapping import wrap_for_terminal

#: Columns before the second line of a fact that is longer than a line.
_INDENT = 2
#: Characters of an image's digest that tell images apart for people.
_DIGEST = 12


def render_view(document: dict[str, Any], before: dict[str, Any] | None) -> RenderableType:
    """Return lines and table of ``document``.

    With the document of ``before``, the table shows the CPU use since then instead of CPU time.
    """
    parts: list[RenderableType] = [
        Text(wrap_for_terminal(line, _INDENT)) for line in format_lines(document)
    ]
    pilots = document["pilots"]
    if pilots is None:
        parts.append(Text("Pilots: not known"))
    elif pilots:
        parts.append(_table(pilots, _rates(document, before)))
    return Group(*parts)


def format_lines(document: dict[str, Any]) -> list[str]:
    """Return the document without the pilots, one fact a line."""
    daemon = document["daemon"]
    if not daemon["running"]:
        left = document["pilots"]
        known = "" if left is None else f" Pilots that go on without it: {len(left)}."
        return [f"The daemon does not run.{known}"]
    if document["version"] is None:
        return [f"The daemon (pid {daemon['pid']}) starts."]
    host, capacity, config = document["host"], document["capacity"], document["config"]
    age = time.time() - daemon["started"]
    engine = document["engine"]
    window = document["window"]
    found = [
        f"Daemon: pid {daemon['pid']}, up {_duration(age)}, {document['mode']}, "
        f"engine {engine['name']}",
        f"Owner: {_or_dash(host['owner_cpus'], '{:.2f}')} of {host['ncpus']} CPUs; "
        f"pilots: {_or_dash(host['pilots_cpus'], '{:.2f}')} CPUs; "
        f"memory available: {_or_dash(host['mem_available'], '{:.1f} GB', 1e9)}",
        f"Capacity: {_or_dash(capacity['start'], '{}')} "
        f"{'pilot' if capacity['start'] == 1 else 'pilots'}. {document['summary']}",
    ]
    if window["next_change"] is not None or window["phase"] != "open":
        found.append(f"Window: {window['text']}")
    found += format_container_lines(document)
    if engine["problem"] and engine["name"] == "docker":
        # What is wrong is in the summary.
        unit = "podman.socket" if "podman" in engine["place"] else "docker"
        found.append(
            f"Engine: see `systemctl status {unit}`, and `docker_host` in the configuration"
        )
    known = engine["problem"]
    found += [
        f"Problem: {text}"
        for text in engine["problems"]
        # those of the configuration have a line of their own
        if not (known and known in text) and text not in config["problem"]
    ]
    if engine["isolation"]:
        found.append(f"Note: {engine['isolation']}")
    if config["problem"]:
        found.append(f"Configuration: {config['problem']}")
    return found


def format_container_lines(document: dict[str, Any]) -> list[str]:
    """Return the lines about the image and the protection, for engines with containers."""
    found = []
    image, protection = document.get("image"), document.get("protection")
    if image:
        known = f"{image['name'] or 'none yet'} {_short(image['digest'])}"
        news = [f"pulling {image['wanted']}: {image['pulling']}"] if image["pulling"] else []
        news += [f"the last pull failed: {image['problem']}"] if image["problem"] else []
        found.append("Image: " + "; ".join([known, *news]))
    if protection:
        found.append(f"Protection: {protection['text']}")
    return found


def _table(pilots: list[dict[str, Any]], rates: dict[str, float] | None) -> Table:
    images = any(pilot["image"] for pilot in pilots)
    table = Table(box=None, padding=(0, 1))
    table.add_column("pilot", no_wrap=True)
    table.add_column("state")
    if images:
        table.add_column("image", no_wrap=True)
    for heading in ("age", "CPU time" if rates is None else "CPU", "memory"):
        table.add_column(heading, justify="right", no_wrap=True)
    for pilot in pilots:
        cpu = _or_dash(pilot["cpu_seconds"], "{:.1f} s")
        if rates is not None:
            cpu = _or_dash(rates.get(pilot["name"]), "{:.0f} %")
        table.add_row(
            pilot["name"],
            describe_state(pilot),
            *([_short(pilot["image"])] if images else []),
            _duration(pilot["age"]),
            cpu,
            _or_dash(pilot["memory_bytes"], "{:.2f} GB", 1e9),
        )
    return table


def _rates(document: dict[str, Any], before: dict[str, Any] | None) -> dict[str, float] | None:
    """Return each pilot's CPU use since ``before`` in percent of one CPU; None without one."""
    if before is None or not document.get("looked") or not before.get("looked"):
        return None
    seconds = document["looked"] - before["looked"]
    used = {pilot["name"]: pilot["cpu_seconds"] for pilot in before["pilots"] or ()}
    return {
        pilot["name"]: 100.0 * max(0.0, pilot["cpu_seconds"] - used[pilot["name"]]) / seconds
        for pilot in document["pilots"] or ()
        if seconds > 0 and pilot["cpu_seconds"] is not None and used.get(pilot["name"]) is not None
    }


def _short(image: str) -> str:
    return image.removeprefix("sha256:")[:_DIGEST] or "-"


def _or_dash(value: float | None, form: str, divisor: float | None = None) -> str:
    if value is None:
        return "-"
    return form.format(value if divisor is None else value / divisor)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    seconds = max(0.0, seconds)  # the clock was set back
    hours, rest = divmod(int(seconds), 3600)
    if hours:
        return f"{hours} h {rest // 60:02d} min"
    if rest >= 60:
        return f"{rest // 60} min {rest % 60:02d} s"
    return f"{seconds:.1f} s"
