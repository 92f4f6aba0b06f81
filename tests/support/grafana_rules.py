"""What Grafana does with a dashboard or an alert rule, for tests that have no Grafana.

Variables and macros are replaced by its rules, InfluxDB's answers become its data frames, and its
server-side expressions are computed. Intervals, transformations, texts and colours are made by its
own code (``grafana_display.cjs``).
"""

import ast
import json
import math
import operator
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.setup.downloads import GRAFANA
from tests.support.services.programs import need

SCRIPT = Path(__file__).with_name("grafana_display.cjs")
Labels = frozenset[tuple[str, str]]


class NoSuchVariable(ValueError):
    """A query with a variable that Grafana would not replace."""


def expand(
    query: str, begin: float, end: float, interval: int, chosen: Mapping[str, Sequence[str]]
) -> str:
    """Replace what Grafana replaces in an InfluxQL query.

    begin, end  the period, seconds since 1970
    interval    milliseconds of a step
    chosen      values of the dashboard's variables; one that is not there is "All"

    Raises NoSuchVariable.
    """
    for name in ("site", "node", "pool"):
        values = [re.escape(one).replace("/", r"\/") for one in chosen.get(name, ())]
        text = ".*" if name not in chosen else values[0]
        if len(values) > 1:
            text = f"({'|'.join(values)})"
        query = query.replace(f"${name}$/", f"{text}$/")
    times = f"time >= {round(begin * 1000)}ms and time <= {round(end * 1000)}ms"
    for name, value in (
        ("$timeFilter", times),
        ("$__interval_ms", str(interval)),
        ("$__interval", f"{interval}ms"),
    ):
        query = query.replace(name, value)
    if "$" in re.sub(r"/\^.*?\$/", "", query):
        raise NoSuchVariable(query)
    return query


@dataclass(frozen=True)
class Ask:
    """A database: each query is one HTTP request, as Grafana's."""

    client: Any
    #: bytes and seconds of the answers are noted here, if wanted
    note: Callable[[str], None] = lambda _query: None

    def series(self, query: str) -> list[dict[str, Any]]:
        self.note(query)
        found: list[dict[str, Any]] = self.client.query(query, epoch="ms").raw.get("series", [])
        return found

    def lines(self, query: str, ref: str, alias: str) -> list[dict[str, Any]]:
        """One frame for each tag value and column."""
        frames = []
        for one in self.series(query):
            tags = one.get("tags") or {}
            for place, column in enumerate(one["columns"][1:], 1):
                name = re.sub(
                    r"\$tag_(\w+)", lambda found, tags=tags: tags.get(found[1], ""), alias
                )
                times = [row[0] for row in one["values"]]
                value = {
                    "name": "Value",
                    "type": "number",
                    "labels": tags,
                    "values": [row[place] for row in one["values"]],
                    "config": {"displayNameFromDS": name.replace("$col", column)},
                }
                time = {"name": "Time", "type": "time", "values": times}
                frames.append({"refId": ref, "fields": [time, value]})
        return frames

    def table(self, query: str, ref: str) -> list[dict[str, Any]]:
        """One frame with a row for each row of the answer."""
        columns: dict[str, list[Any]] = {}
        for one in self.series(query):
            tags = one.get("tags") or {}
            for row in one["values"]:
                whole = {"Time": row[0], **tags}
                whole |= dict(zip(one["columns"][1:], row[1:], strict=True))
                for name, value in whole.items():
                    columns.setdefault(name, []).append(value)
        if not columns:
            return []
        fields = [{"name": name, "type": _type(name, of)} for name, of in columns.items()]
        for one, of in zip(fields, columns.values(), strict=True):
            one["values"] = of
        return [{"refId": ref, "fields": fields}]


def _type(name: str, values: Sequence[Any]) -> str:
    known = next((one for one in values if one is not None), None)
    if name == "Time":
        return "time"
    if isinstance(known, bool):
        return "boolean"
    return "string" if isinstance(known, str) else "number"


# --- server-side expressions --------------------------------------------------------------


@dataclass
class Expressions:
    """The values of the queries and expressions of a rule or panel, by their reference."""

    values: dict[str, dict[Labels, Any]] = field(default_factory=dict)

    def asked(self, ref: str, frames: Sequence[Mapping[str, Any]]) -> None:
        self.values[ref] = {
            frozenset(one["fields"][1]["labels"].items()): one["fields"][1]["values"]
            for one in frames
        }

    def run(self, ref: str, model: Mapping[str, Any]) -> None:
        kind = model["type"]
        if kind == "reduce":
            assert model["reducer"] == "last"
            of = self.values[model["expression"]]
            self.values[ref] = {labels: values[-1] for labels, values in of.items()}
        elif kind == "math":
            self.values[ref] = _math(model["expression"], self.values)
        elif kind == "threshold":
            (condition,) = model["conditions"]
            compare = {"gt": operator.gt, "lt": operator.lt}[condition["evaluator"]["type"]]
            limit = condition["evaluator"]["params"][0]
            of = self.values[model["expression"]]
            self.values[ref] = {
                labels: value is not None and not math.isnan(value) and compare(value, limit)
                for labels, value in of.items()
            }
        else:
            raise ValueError(f"an expression of kind {kind!r}")


_OPERATORS: Mapping[type, Callable[[float, float], float]] = {
    ast.Div: lambda a, b: a / b if b else math.nan,
    ast.Sub: operator.sub,
    ast.Add: operator.add,
    ast.Mult: operator.mul,
}


def _math(text: str, values: Mapping[str, Mapping[Labels, Any]]) -> dict[Labels, Any]:
    """As Grafana joins: what has the same labels, or where one has none or fewer."""
    tree = ast.parse(re.sub(r"\$(\w+)", r"\1", text).replace("&&", " and "), mode="eval").body

    def of(node: ast.expr) -> dict[Labels, Any]:
        if isinstance(node, ast.Name):
            return {labels: one for labels, one in values[node.id].items() if one is not None}
        if isinstance(node, ast.Constant):
            return {frozenset(): node.value}
        if isinstance(node, ast.BoolOp):
            left, right = map(of, node.values)
            return joined(left, right, lambda a, b: float(bool(a) and bool(b)))
        if isinstance(node, ast.Compare):
            assert isinstance(node.ops[0], ast.Gt)
            return joined(of(node.left), of(node.comparators[0]), lambda a, b: float(a > b))
        assert isinstance(node, ast.BinOp)
        return joined(of(node.left), of(node.right), _OPERATORS[type(node.op)])

    def joined(
        left: dict[Labels, Any], right: dict[Labels, Any], do: Callable[[Any, Any], Any]
    ) -> dict[Labels, Any]:
        return {
            a | b: do(one, other)
            for a, one in left.items()
            for b, other in right.items()
            if a <= b or b <= a
        }

    return of(tree)


# --- a panel ----------------------------------------------------------------------------------


def frames_of(
    panel: Mapping[str, Any],
    ask: Ask,
    period: tuple[float, float],
    interval: int,
    chosen: Mapping[str, Sequence[str]],
) -> list[dict[str, Any]]:
    """Return what the panel's targets give."""
    frames: list[dict[str, Any]] = []
    expressions = Expressions()
    for target in panel["targets"]:
        ref = target["refId"]
        if target["datasource"]["uid"] == "__expr__":
            expressions.run(ref, target)
            found = [
                {"refId": ref, "fields": [
                    {"name": ref, "type": "number", "labels": dict(labels), "values": [value]}
                ]}
                for labels, value in expressions.values[ref].items()
            ]  # fmt: skip
        else:
            query = expand(target["query"], *period, interval, chosen)
            if target["resultFormat"] == "table":
                found = ask.table(query, ref)
            else:
                found = ask.lines(query, ref, target["alias"])
                expressions.asked(ref, found)
        if not target.get("hide"):
            frames += found
    return frames


def shown(
    panels: Sequence[Mapping[str, Any]],
    ask: Ask,
    period: tuple[float, float],
    chosen: Mapping[str, Sequence[str]] | None = None,
) -> list[Any]:
    """Return what each panel shows, by Grafana's own code.

    panels  of a dashboard's JSON, with targets
    ask     the database
    period  begin and end, seconds since 1970
    chosen  values of variables; one that is not there is "All"
    """
    span = round(1000 * (period[1] - period[0]))
    _learn_intervals({one["interval"] for one in panels}, span)
    wanted = []
    for one in panels:
        interval = _INTERVALS[one["interval"], span]
        frames = frames_of(one, ask, period, interval, chosen or {})
        wanted.append({"panel": one, "range": [1000 * at for at in period], "frames": frames})
    return [one["shown"] for one in _display(wanted)]


def step_of(panel: Mapping[str, Any], seconds: float) -> int:
    """Milliseconds of a step of a panel over a period."""
    span = round(1000 * seconds)
    _learn_intervals([panel["interval"]], span)
    return _INTERVALS[panel["interval"], span]


#: Milliseconds of a step, by the panel's least interval and the milliseconds of the period.
_INTERVALS: dict[tuple[str, int], int] = {}


def _learn_intervals(least: Iterable[str], span: int) -> None:
    unknown = [one for one in least if (one, span) not in _INTERVALS]
    if unknown:
        wanted = [{"panel": {"interval": one}, "range": [0, span]} for one in unknown]
        for one, found in zip(unknown, _display(wanted), strict=True):
            _INTERVALS[one, span] = found["interval"]


def _display(wanted: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    need("grafana")
    done = subprocess.run(
        ["node", str(SCRIPT)],
        input=json.dumps(wanted), capture_output=True, text=True, timeout=120, check=False,
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", "TZ": "UTC",
             "NODE_PATH": str(GRAFANA / "node_modules")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


# --- an alert rule ------------------------------------------------------------------------------


@dataclass
class Rule:
    """One rule of the provisioned file, and the state of each of its alerts."""

    described: Mapping[str, Any]
    #: since when each has been bad (seconds since 1970)
    bad_since: dict[Labels, float] = field(default_factory=dict)
    #: those that are firing
    firing: set[Labels] = field(default_factory=set)

    @property
    def wait(self) -> float:
        found = re.fullmatch(r"(\d+)([sm])", self.described["for"])
        assert found is not None
        return int(found[1]) * {"s": 1, "m": 60}[found[2]]

    def evaluate(self, ask: Ask, now: float) -> dict[str, dict[Labels, Any]]:
        """One evaluation at ``now``; returns all values.

        Raises NoSuchVariable, and what the database says of a wrong query.
        """
        expressions = Expressions()
        for one in self.described["data"]:
            model, times = one["model"], one["relativeTimeRange"]
            if one["datasourceUid"] == "__expr__":
                expressions.run(one["refId"], model)
            else:
                begin, end = now - times["from"], now - times["to"]
                # nothing that stands there may be replaced but macros: a rule has no variables
                query = expand(model["query"], begin, end, 60_000, {})
                expressions.asked(one["refId"], ask.lines(query, one["refId"], "$col"))
        state = expressions.values[self.described["condition"]]
        if not state and self.described["noDataState"] == "NoData":
            state = {frozenset({("alertname", "DatasourceNoData")}): True}
        bad = {labels for labels, is_bad in state.items() if is_bad}
        self.bad_since = {one: self.bad_since.get(one, now) for one in bad}
        self.firing = {one for one, since in self.bad_since.items() if now - since >= self.wait}
        return expressions.values
