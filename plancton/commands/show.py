"""planctonctl status, explain."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from plancton.commands.document import current
from plancton.errors import ExitCode
from plancton.paths import Paths


def status(paths: Paths, arguments: argparse.Namespace) -> int:
    document = current(paths, time.time())
    if arguments.json:
        print(json.dumps(document, indent=2))
    else:
        _print_status(document)
    return _code(document)


def explain(paths: Paths, arguments: argparse.Namespace) -> int:
    document = current(paths, time.time())
    if arguments.json:
        keys = ("written", "daemon", "summary", "capacity", "rules", "config")
        print(json.dumps({key: document.get(key) for key in keys}, indent=2))
        return _code(document)
    print(document["summary"])
    for rule in document["rules"]:
        room = "no limit" if rule["room"] is None else f"{rule['room']} more"
        print(f"  {rule['rule']:<12} {room:<9} {rule['text']}")
    problem = (document.get("config") or {}).get("problem")
    if problem:
        print(f"  {'config':<12} {'':<9} {problem}")
    return _code(document)


def _code(document: dict[str, Any]) -> int:
    return ExitCode.OK if document["daemon"]["running"] else ExitCode.NOT_RUNNING


def _print_status(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    # Lines are for people: the terminal folds them better than a table of fixed width.
    console = Console(highlight=False, soft_wrap=True, markup=False)
    for line in _lines(document):
        console.print(line)
    pilots = document["pilots"]
    if pilots is None:
        console.print("Pilots: not known")
        return
    if not pilots:
        return
    table = Table("pilot", "state", "pid", "age", "CPU time", "memory", box=None, padding=(0, 1))
    for column in table.columns[2:]:
        column.justify = "right"
    for pilot in pilots:
        table.add_row(
            pilot["name"],
            pilot["state"],
            _or_dash(pilot["pid"], "{}"),
            _duration(pilot["age"]),
            _or_dash(pilot["cpu_seconds"], "{:.1f} s"),
            _or_dash(pilot["memory_bytes"], "{:.2f} GB", 1e9),
        )
    console.print(table)


def _lines(document: dict[str, Any]) -> list[str]:
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
    lines = [
        f"Daemon: pid {daemon['pid']}, up {_duration(age)}, {document['mode']}, "
        f"engine {engine['name']}",
        f"Owner: {_or_dash(host['owner_cpus'], '{:.2f}')} of {host['ncpus']} CPUs; "
        f"pilots: {_or_dash(host['pilots_cpus'], '{:.2f}')} CPUs; "
        f"memory available: {_or_dash(host['mem_available'], '{:.1f} GB', 1e9)}",
        f"Capacity: {_or_dash(capacity['start'], '{}')} pilots. {document['summary']}",
    ]
    if engine["problem"]:
        lines.append(f"Engine: {engine['problem']}")
    if engine["isolation"]:
        lines.append(f"Note: {engine['isolation']}")
    if config["problem"]:
        lines.append(f"Configuration: {config['problem']}")
    return lines


def _or_dash(value: float | None, form: str, divisor: float | None = None) -> str:
    if value is None:
        return "-"
    return form.format(value if divisor is None else value / divisor)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    hours, rest = divmod(int(max(0.0, seconds)), 3600)
    if hours:
        return f"{hours} h {rest // 60:02d} min"
    if rest >= 60:
        return f"{rest // 60} min {rest % 60:02d} s"
    return f"{seconds:.1f} s"
