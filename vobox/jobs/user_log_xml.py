"""Convert events of HTCondor's user log from its text form to its XML form (``log_xml = true``).

The XML form is the event as a ClassAd. The events are made as text only (``user_log_events.py``),
and HTCondor's reader finds the same in both forms, which a test compares.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final
from xml.sax.saxutils import escape

from vobox.classad.literals import escape_string

Literal = bool | int | float | str
Value = Literal | dict[str, Literal]
Attributes = dict[str, Value]

_HEADER: Final = re.compile(r"(\d{3}) \((\d+)\.(\d+)\.(\d+)\) (\S+) (\S+) (.*)", re.DOTALL)
# A reason is a user's text and never begins a line: ``^`` keeps out what looks like one of these.
_USAGE: Final = re.compile(r"(?m)^\t\t(Usr .*?, Sys .*?)  -  (Run|Total) (Remote|Local) Usage")
_BYTES: Final = re.compile(r"(?m)^\t(\d+)  -  (Run|Total) Bytes (Sent|Received) By Job")
_TERMINATION: Final = re.compile(
    r"(?m)^\t+\([01]\) \w+ termination \((return value|signal) (-?\d+)\)"
)
_CORE: Final = re.compile(r"\t\(1\) Corefile in: (.*)")
_CODES: Final = re.compile(r"Code (-?\d+) Subcode (-?\d+)")
_RESOURCE: Final = re.compile(r"(?m)^\t   (\w+)\b[^:\n]*: (.{8}) (.{8}) (.{9})")
_REASON: Final = re.compile(r"\tReason: (.*)")
_NUMBER: Final = re.compile(r"-?\d+")
#: ``Attribute = literal`` in the notes of event 000; ``\b``: a long word is looked at once
_NOTE: Final = re.compile(r'\b(\w+) = ("(?:[^"\\]|\\.)*"|-?\d{1,18}|true|false)(?:; | \])')


def convert_to_xml(text: str) -> str:
    """Return one event, with its closing line, in XML; what is no event stays as it is."""
    attributes = read_event(text)
    if attributes is None:
        return text
    return _format(attributes, "") + "\n"


def read_event(text: str) -> Attributes | None:
    """Return the attributes of one event in its text form; None of what is no event."""
    match = _HEADER.match(text)
    if match is None:
        return None
    number, cluster, proc, subproc, day, clock, body = match.groups()
    name, read = _EVENTS.get(int(number), ("FutureEvent", lambda _lines, _body: {}))
    return {
        "MyType": name,
        "EventTypeNumber": int(number),
        "EventTime": f"{day}T{clock}",
        "Cluster": int(cluster),
        "Proc": int(proc),
        "Subproc": int(subproc),
        **read(body.splitlines(), body),
    }


def _format(value: Value | Attributes, indent: str) -> str:
    if isinstance(value, dict):
        inner = indent + "    "
        lines = [f'{inner}<a n="{n}">{_format(each, inner)}</a>\n' for n, each in value.items()]
        return "<c>\n" + "".join(lines) + f"{indent}</c>"
    if isinstance(value, bool):
        return f'<b v="{"t" if value else "f"}"/>'
    if isinstance(value, int):
        return f"<i>{value}</i>"
    if isinstance(value, float):
        return f"<r>{value:.15E}</r>" if value else "<r>0.0</r>"
    return f"<s>{escape(escape_string(value))}</s>"


def _second(lines: list[str]) -> str:
    return lines[1].strip() if len(lines) > 2 else ""


def _read_submit(lines: list[str], _body: str) -> Attributes:
    found: Attributes = {"SubmitHost": lines[0].partition("host: ")[2]}
    found |= zip(("LogNotes", "UserNotes"), map(str.strip, lines[1:-1]), strict=False)
    if notes := {name: _read_literal(text) for name, text in _NOTE.findall("".join(lines[1:2]))}:
        found["StructuredNotes"] = notes
    return found


def _read_literal(text: str) -> Literal:
    if text[0] == '"':
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return text == "true" if text in ("true", "false") else int(text)


def _read_execute(lines: list[str], body: str) -> Attributes:
    found: Attributes = {"ExecuteHost": lines[0].partition("host: ")[2]}
    for line in lines[1:-1]:
        name, colon, value = line.strip().partition(": ")
        if colon and name == "SlotName":
            found["SlotName"] = value
    if offered := re.findall(r"^\t(\w+) = (\d+)$", body, re.MULTILINE):
        found["ExecuteProps"] = {name: int(number) for name, number in offered}
    return found


def _read_usage(body: str) -> Attributes:
    found: Attributes = {}
    for usage, scope, where in _USAGE.findall(body):
        found[f"{scope}{where}Usage"] = usage
    for size, scope, way in _BYTES.findall(body):
        found[("" if scope == "Run" else "Total") + f"{way}Bytes"] = float(size)
    return found


def _read_termination(body: str) -> Attributes:
    match = _TERMINATION.search(body)
    if match is None:
        return {"TerminatedNormally": False}
    if match[1] == "signal":
        return {"TerminatedNormally": False, "TerminatedBySignal": int(match[2])}
    return {"TerminatedNormally": True, "ReturnValue": int(match[2])}


def _read_evicted(lines: list[str], body: str) -> Attributes:
    requeued = "(0) Job terminated and was requeued" in body
    found = {"Checkpointed": False, **_read_usage(body), "TerminatedAndRequeued": requeued}
    found |= _read_termination(body) | _read_resources(body)
    if requeued:
        found["Reason"] = lines[-2].strip()
    elif reason := _REASON.search(body):
        found["Reason"] = reason[1]
    if codes := _CODES.search(lines[0]):
        found["ReasonCode"], found["ReasonSubCode"] = int(codes[1]), int(codes[2])
    return found


def _read_terminated(_lines: list[str], body: str) -> Attributes:
    found = {**_read_termination(body), **_read_usage(body), **_read_resources(body)}
    if core := _CORE.search(body):
        found["CoreFile"] = core[1]
    return found


def _read_resources(body: str) -> Attributes:
    found: Attributes = {}
    for name, used, asked, given in _RESOURCE.findall(body):
        for attribute, text in (
            (f"{name}Usage", used), (f"Request{name}", asked), (name, given),
        ):  # fmt: skip
            if number := text.strip():
                found[attribute] = float(number) if "." in number else int(number)
    return found


def _read_size(lines: list[str], body: str) -> Attributes:
    found: Attributes = {"Size": int((_NUMBER.findall(lines[0]) or ["0"])[0])}
    for size, name in re.findall(r"\t(\d+)  -  (\w+) of job", body):
        found[name] = int(size)
    return found


def _read_held(lines: list[str], body: str) -> Attributes:
    found: Attributes = {"HoldReason": _second(lines)}
    if codes := _CODES.search(body.rpartition("\tCode ")[1] + body.rpartition("\tCode ")[2]):
        found["HoldReasonCode"], found["HoldReasonSubCode"] = int(codes[1]), int(codes[2])
    return found


def _read_error(lines: list[str], body: str) -> Attributes:
    daemon, _, host = lines[0].removeprefix("Error from ").removesuffix(":").partition(" on ")
    held = _read_held(lines, body)
    text = held.pop("HoldReason")
    return {"Daemon": daemon, "ExecuteHost": host, "ErrorMsg": text, "CriticalError": True, **held}


def _read_update(lines: list[str], _body: str) -> Attributes:
    name, _, values = lines[0].removeprefix("Changing job attribute ").partition(" from ")
    old, _, new = values.rpartition(" to ")
    return {"Attribute": name, "Value": new, "PriorValue": old}


#: Number of an event → HTCondor's name of its class, and what reads its text.
_EVENTS: Final[dict[int, tuple[str, Callable[[list[str], str], Attributes]]]] = {
    0: ("SubmitEvent", _read_submit),
    1: ("ExecuteEvent", _read_execute),
    4: ("JobEvictedEvent", _read_evicted),
    5: ("JobTerminatedEvent", _read_terminated),
    6: ("JobImageSizeEvent", _read_size),
    9: ("JobAbortedEvent", lambda lines, _body: {"Reason": _second(lines)}),
    10: (
        "JobSuspendedEvent",
        lambda _lines, body: {"NumberOfPIDs": int((_NUMBER.findall(body) or ["0"])[0])},
    ),
    11: ("JobUnsuspendedEvent", lambda _lines, _body: {}),
    12: ("JobHeldEvent", _read_held),
    13: ("JobReleaseEvent", lambda lines, _body: {"Reason": _second(lines)}),
    21: ("RemoteErrorEvent", _read_error),
    33: ("AttributeUpdateEvent", _read_update),
}
