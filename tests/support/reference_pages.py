"""Write the tables of the reference pages from the code; their prose is written by hand.

    python -m tests.support.reference_pages

In ``docs/reference`` that changes of each page what comes from the code alone. A test says when a
page is old.
"""

import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from plancton.config.container_keys import ContainerKeys
from plancton.config.model import UNUSED_WITH_PROCESS, Config
from plancton.metrics import series as node_series
from telemetry.points import Series, metric_name
from vobox.client import version, wait, watch_q
from vobox.commands import (
    act,
    config_val,
    editable_attributes,
    prio,
    qedit,
    reschedule,
    tail,
    transfer_data,
    vacate,
)
from vobox.commands.command_line import GREEDY, Option
from vobox.commands.query import condor_history_options, condor_q_options, condor_status_options
from vobox.commands.submit.commands_table import SUBMIT_COMMANDS, SubmitCommand, Support
from vobox.commands.submit.options import USAGE as SUBMIT_USAGE
from vobox.metrics import series as schedd_series

PLACE = Path(__file__).parents[2] / "docs/reference"


def _fill_table(page: str, header: str, rows: str) -> str:
    """Replace the rows of the table with this header."""
    end = header.count("|") - 1
    table = rf"(^{re.escape(header)}\n\|(?: ?---+ ?\|){{{end}}}\n)(?:\|.*\n)*"
    return re.sub(table, partial(_append, rows), page, flags=re.MULTILINE)


def _append(text: str, found: re.Match[str]) -> str:
    return f"{found[1]}{text}"


# --- plancton-config.md ---------------------------------------------------------------------------


def fill_config(page: str) -> str:
    """Fill in the keys of ``config.yaml``."""
    # The keys of every engine first; a class lists those that it inherits before its own.
    own = [name for name in Config.model_fields if name not in ContainerKeys.model_fields]
    rows = "".join(_render_key(name) for name in (*own, *ContainerKeys.model_fields))
    return _fill_table(page, "| key | default | unit | since | meaning |", rows)


def _render_key(name: str) -> str:
    field = Config.model_fields[name]
    extra: Any = field.json_schema_extra
    meaning = field.description or ""
    if name in UNUSED_WITH_PROCESS:
        meaning += " No effect with `engine: process`."
    cells = (f"`{name}`", f"`{_default(field.default)}`", extra["unit"], extra["since"], meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _default(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, str):
        return value or '""'
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value)


# --- metrics.md -----------------------------------------------------------------------------------


def fill_metrics(page: str) -> str:
    """Fill in the series: all that follows the first heading of a program."""
    parts = [page.partition("\n## ")[0]]
    for heading, module in (
        ("A node: `plancton`", node_series),
        ("A VO box: `thyme-schedd`", schedd_series),
    ):
        parts += [f"\n## {heading}\n", *map(_render_series, module.ALL)]
    return "".join(parts)


def _render_series(series: Series) -> str:
    tags = ", ".join(f"`{tag}`" for tag in series.tags)
    lines = [f"\n### `{series.name}`", "", f"{series.text} Tags: {tags}. Since {series.since}.", ""]
    lines += ["| field | type | unit | at Prometheus | |", "|---|---|---|---|---|"]
    for field in series.fields:
        kind = {"gauge": "", "since": ", since the last point", "total": ", total"}[field.kind]
        name = "" if series.since == "2017" else f"`{metric_name(series, field)}`"
        lines.append(
            f"| `{field.name}` | {field.type}{kind} | {field.unit} | {name} | {field.text} |"
        )
    return "\n".join(lines) + "\n"


# --- submit-commands.md ---------------------------------------------------------------------------

_MEANING = {
    Support.HONOURED: "what it does",
    Support.RECORDED: "remark",
    Support.REFUSED: "why, and what to do instead",
}


def fill_submit_commands(page: str) -> str:
    """Fill in the commands of a submit description."""
    for verdict, meaning in _MEANING.items():
        found = sorted((one for one in SUBMIT_COMMANDS if one.support is verdict), key=_get_names)
        rows = "".join(map(_render_command, found))
        page = _fill_table(page, f"| command | attribute | {meaning} |", rows)
    return page


def _get_names(row: SubmitCommand) -> tuple[str, ...]:
    return row.names


def _render_command(row: SubmitCommand) -> str:
    names = ", ".join(f"`{name}`" for name in row.names)
    attributes = " or ".join(f"`{name}`" for name in row.attribute.split(" or ") if name)
    effect = row.effect.replace("|", "\\|")
    return f"| {names} | {attributes} | {effect[0].upper()}{effect[1:]} |\n"


# --- commands.md ----------------------------------------------------------------------------------

#: Command → its options, or how it is used.
OPTIONS: dict[str, Sequence[Option] | str] = {
    "condor_submit": SUBMIT_USAGE,
    "condor_q": condor_q_options.OPTIONS,
    "condor_history": condor_history_options.OPTIONS,
    "condor_status": condor_status_options.OPTIONS,
    **act.OPTIONS,
    "condor_vacate": vacate.OPTIONS,
    "condor_qedit": qedit.OPTIONS,
    "condor_prio": prio.USAGE,
    "condor_tail": tail.OPTIONS,
    "condor_transfer_data": transfer_data.OPTIONS,
    "condor_wait": wait.USAGE.lstrip("\n"),
    "condor_watch_q": watch_q.USAGE,
    "condor_config_val": config_val.OPTIONS,
    "condor_reschedule": reschedule.OPTIONS,
    "condor_version": version.USAGE,
}
_NOT_EDITABLE = (
    (editable_attributes.IMMUTABLE, "it is what the job is known by"),
    (editable_attributes.KEPT, "the schedd keeps it itself"),
    (editable_attributes.SENT, "it travels with the job to its worker"),
)


def fill_commands(page: str) -> str:
    """Fill in each command's options, after the first paragraph of its section."""
    for command, options in OPTIONS.items():
        text = f"```\n{options}```\n" if isinstance(options, str) else _render_options(options)
        section = rf"(\n## {command}\n\n.+?\n\n).+?(?=\n## )"
        page = re.sub(section, partial(_append, text), page, flags=re.DOTALL)
    rows = (
        f"| {', '.join(f'`{name}`' for name in names.split())} | {why} |\n"
        for names, why in _NOT_EDITABLE
    )
    return _fill_table(page, "| attributes | why not |", "".join(rows))


def _render_options(options: Sequence[Option]) -> str:
    honoured = [each for each in options if not each.ignored and not each.refused]
    ignored = [each for each in options if each.ignored and not each.refused]
    refused = [each for each in options if each.refused]
    text = "Honoured: " + ", ".join(map(_render_option, honoured)) + ".\n"
    if ignored:
        text += "\nAccepted without effect: " + ", ".join(map(_render_option, ignored)) + ".\n"
    if refused:
        text += "\n| refused | why |\n| --- | --- |\n"
        text += "".join(f"| {_render_option(each)} | {each.refused} |\n" for each in refused)
    return text


def _render_option(option: Option) -> str:
    """Return an option as ``-c[onstraint] X``."""
    name, least = option.name, option.least
    text = f"-{name[:least]}" + (f"[{name[least:]}]" if name[least:] else "")
    text += "[:letters]" if option.modifiers else ""
    return f"`{text}{' X...' if option.values == GREEDY else ' X' * option.values}`"


PAGES: dict[str, Callable[[str], str]] = {
    "plancton-config.md": fill_config,
    "metrics.md": fill_metrics,
    "submit-commands.md": fill_submit_commands,
    "commands.md": fill_commands,
}

if __name__ == "__main__":
    for name, fill in PAGES.items():
        (PLACE / name).write_text(fill((PLACE / name).read_text()))
