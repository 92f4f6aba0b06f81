"""The attributes of events of HTCondor's user log: what its XML and JSON forms say of them.

HTCondor's reader finds the same in the text form and in these, which tests compare.
"""

import re

# A reason is a user's text and never begins a line: ``^`` keeps out what looks like one of these.
_HEADER = re.compile(r"(\d{3}) \((-?\d+)\.(-?\d+)\.(-?\d+)\) (\S+) (\S+) (.*)", re.DOTALL)
_USAGE = re.compile(r"(?m)^\t\t(Usr .*?, Sys .*?)  -  (Run|Total) (Remote|Local) Usage")
_BYTES = re.compile(r"(?m)^\t(\d+)  -  (Run|Total) Bytes (Sent|Received) By Job")
_TERMINATION = re.compile(r"(?m)^\t+\([01]\) \w+ termination \((return value|signal) (-?\d+)\)")
_CORE = re.compile(r"\t\(1\) Corefile in: (.*)")
_CODES = re.compile(r"Code (-?\d+) Subcode (-?\d+)")
_RESOURCE = re.compile(r"(?m)^\t   (\w+)\b[^:\n]*: (.{8}) (.{8}) (.{9})")
_REASON = re.compile(r"\tReason: (.*)")
_NUMBER = re.compile(r"-?\d+")
_LITERAL = re.compile(r'".*"\Z|-?\d{1,18}(?:\.\d+)?\Z|true\Z|false\Z')
#: ``Attribute = literal`` in the notes of event 000; ``\b``: a long word is looked at once
_NOTE = re.compile(r'\b(\w+) = ("(?:[^"\\]|\\.)*"|-?\d{1,18}|true|false)(?:; | \])')


def read_event(text: str) -> "dict[str, object] | None":
    """Return the attributes of one event in its text form; None of what is no event."""
    match = _HEADER.match(text)
    if match is None:
        return None
    number, cluster, proc, subproc, day, clock, body = match.groups()
    name, read = _EVENTS.get(int(number), ("FutureEvent", _read_unknown))
    found = {
        "MyType": name,
        "EventTypeNumber": int(number),
        "EventTime": day + "T" + clock,
        "Cluster": int(cluster),
        "Proc": int(proc),
        "Subproc": int(subproc),
    }  # type: dict[str, object]
    for attribute, value in read(body.splitlines(), body).items():
        found.setdefault(attribute, value)
    return found


def _read_nothing(_lines: "list[str]", _body: str) -> "dict[str, object]":
    return {}


def _read_unknown(lines: "list[str]", _body: str) -> "dict[str, object]":
    return {"EventHead": lines[0]}


def _second(lines: "list[str]") -> str:
    return lines[1].strip() if len(lines) > 2 else ""


def _read_submit(lines: "list[str]", _body: str) -> "dict[str, object]":
    found = {"SubmitHost": lines[0].partition("host: ")[2]}  # type: dict[str, object]
    found.update(zip(("LogNotes", "UserNotes"), map(str.strip, lines[1:-1])))
    notes = {name: _read_literal(text) for name, text in _NOTE.findall("".join(lines[1:2]))}
    if notes:
        found["StructuredNotes"] = notes
    return found


def _read_literal(text: str) -> "bool | int | float | str":
    if text[0] == '"':
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    if text in ("true", "false"):
        return text == "true"
    return float(text) if "." in text else int(text)


def _read_information(lines: "list[str]", _body: str) -> "dict[str, object]":
    found = {}  # type: dict[str, object]
    for line in lines[1:-1]:
        name, _, text = line.partition(" = ")
        if _LITERAL.match(text):
            found[name] = _read_literal(text)
    return found


def _read_execute(lines: "list[str]", body: str) -> "dict[str, object]":
    found = {"ExecuteHost": lines[0].partition("host: ")[2]}  # type: dict[str, object]
    for line in lines[1:-1]:
        name, colon, value = line.strip().partition(": ")
        if colon and name == "SlotName":
            found["SlotName"] = value
    offered = re.findall(r"^\t(\w+) = (\d+)$", body, re.MULTILINE)
    if offered:
        found["ExecuteProps"] = {name: int(number) for name, number in offered}
    return found


def _read_usage(body: str) -> "dict[str, object]":
    found = {}  # type: dict[str, object]
    for usage, scope, where in _USAGE.findall(body):
        found[scope + where + "Usage"] = usage
    for size, scope, way in _BYTES.findall(body):
        found[("" if scope == "Run" else "Total") + way + "Bytes"] = float(size)
    return found


def _read_termination(body: str) -> "dict[str, object]":
    match = _TERMINATION.search(body)
    if match is None:
        return {"TerminatedNormally": False}
    if match.group(1) == "signal":
        return {"TerminatedNormally": False, "TerminatedBySignal": int(match.group(2))}
    return {"TerminatedNormally": True, "ReturnValue": int(match.group(2))}


def _read_evicted(lines: "list[str]", body: str) -> "dict[str, object]":
    requeued = "(0) Job terminated and was requeued" in body
    found = {"Checkpointed": False}  # type: dict[str, object]
    found.update(_read_usage(body))
    found["TerminatedAndRequeued"] = requeued
    found.update(_read_termination(body))
    found.update(_read_resources(body))
    reason, codes = _REASON.search(body), _CODES.search(lines[0])
    if requeued:
        found["Reason"] = lines[-2].strip()
    elif reason:
        found["Reason"] = reason.group(1)
    if codes:
        both = zip(("ReasonCode", "ReasonSubCode"), map(int, codes.groups()))
        found.update((attribute, code) for attribute, code in both if code)
    return found


def _read_terminated(_lines: "list[str]", body: str) -> "dict[str, object]":
    found = _read_termination(body)
    found.update(_read_usage(body))
    found.update(_read_resources(body))
    core = _CORE.search(body)
    if core:
        found["CoreFile"] = core.group(1)
    return found


def _read_resources(body: str) -> "dict[str, object]":
    found = {}  # type: dict[str, object]
    for name, used, asked, given in _RESOURCE.findall(body):
        for attribute, text in ((name + "Usage", used), ("Request" + name, asked), (name, given)):
            number = text.strip()
            if number:
                found[attribute] = float(number) if "." in number else int(number)
    return found


def _read_size(lines: "list[str]", body: str) -> "dict[str, object]":
    found = {"Size": int((_NUMBER.findall(lines[0]) or ["0"])[0])}  # type: dict[str, object]
    for size, name in re.findall(r"\t(\d+)  -  (\w+) of job", body):
        found[name] = int(size)
    return found


def _read_reason(lines: "list[str]", _body: str) -> "dict[str, object]":
    return {"Reason": _second(lines)}


def _read_suspended(_lines: "list[str]", body: str) -> "dict[str, object]":
    return {"NumberOfPIDs": int((_NUMBER.findall(body) or ["0"])[0])}


def _read_held(lines: "list[str]", body: str) -> "dict[str, object]":
    found = {"HoldReason": _second(lines)}  # type: dict[str, object]
    codes = _CODES.search("".join(body.rpartition("\tCode ")[1:]))
    if codes:
        found["HoldReasonCode"], found["HoldReasonSubCode"] = map(int, codes.groups())
    return found


def _read_error(lines: "list[str]", body: str) -> "dict[str, object]":
    begin, end = "Error from ", ":"
    what = lines[0][len(begin) :] if lines[0].startswith(begin) else lines[0]
    daemon, _, host = (what[: -len(end)] if what.endswith(end) else what).partition(" on ")
    held = _read_held(lines, body)
    found = {"Daemon": daemon, "ExecuteHost": host, "ErrorMsg": held.pop("HoldReason")}
    found["CriticalError"] = True
    found.update(held)
    return found


def _read_update(lines: "list[str]", _body: str) -> "dict[str, object]":
    begin = "Changing job attribute "
    what = lines[0][len(begin) :] if lines[0].startswith(begin) else lines[0]
    name, _, values = what.partition(" from ")
    old, _, new = values.rpartition(" to ")
    return {"Attribute": name, "Value": new, "PriorValue": old}


#: Number of an event: HTCondor's name of its class, and what reads its text.
_EVENTS = {
    0: ("SubmitEvent", _read_submit),
    1: ("ExecuteEvent", _read_execute),
    4: ("JobEvictedEvent", _read_evicted),
    5: ("JobTerminatedEvent", _read_terminated),
    6: ("JobImageSizeEvent", _read_size),
    9: ("JobAbortedEvent", _read_reason),
    10: ("JobSuspendedEvent", _read_suspended),
    11: ("JobUnsuspendedEvent", _read_nothing),
    12: ("JobHeldEvent", _read_held),
    13: ("JobReleaseEvent", _read_reason),
    21: ("RemoteErrorEvent", _read_error),
    28: ("JobAdInformationEvent", _read_information),
    33: ("AttributeUpdateEvent", _read_update),
}
