"""What ``PRINTAS NAME`` in a print-format file does to the value of its column."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from vobox.classad.ad import Ad
from vobox.classad.expressions import Evaluator, number_of
from vobox.classad.literals import value_text
from vobox.jobs.status import TRANSFERRING_OUTPUT

from .renderers import format_date, format_duration
from .tables import TableRows

_UNIVERSES: Final = (
    "Unknown", "Standard", "Pipe", "Linda", "PVM", "Vanilla", "PVMD", "Scheduler", "MPI", "Grid",
    "Java", "Parallel", "Local", "VM",
)  # fmt: skip
_STATUSES: Final = (
    "Unk    ", "Idle   ", "Running", "Removed", "Complet", "Held   ", "XFerOut", "Suspend",
)  # fmt: skip
_STATUS_LETTERS: Final = " IRXCH>S"
_FACTORY_MODES: Final = {-1: "Errs", 0: "Norm", 1: "Held", 2: "Done", 3: "Gone"}
_STATE_LETTERS: Final = {
    "owner": "O", "unclaimed": "U", "matched": "M", "claimed": "C", "preempting": "P",
    "shutdown": "S", "delete": "X", "backfill": "F", "drained": "D",
}  # fmt: skip
_ACTIVITY_LETTERS: Final = {
    "idle": "i", "busy": "b", "retiring": "r", "vacating": "v", "suspended": "s",
    "benchmarking": "e", "killing": "k",
}  # fmt: skip
_LIST_SEPARATORS: Final = re.compile(r"[,\s]+")
_VERSION: Final = re.compile(
    r"\S*\s+(?P<number>\S*)\s*(?:\d{4}-\d\d-\d\d|\S+\s+\S+\s+\S+)?\s*(?:B\S*\s*)?(?P<build>[^-\s]*)"
)
_PLATFORM: Final = re.compile(r"\S*\s+([^ .$]*)")


class Function(NamedTuple):
    """One function of PRINTAS."""

    #: "": the value as it is, or the type that it is brought to: int, real or str
    takes: str
    #: the value shown, None if there is none
    show: Callable[[Any, Ad, Evaluator], Any]
    #: the format in which it is printed
    form: str = ""
    #: whether it gives a text of which HTCondor learns the width only when it prints it
    late: bool = False


def _show_readable(unit: int) -> Callable[[Any, Ad, Evaluator], str]:
    def show(value: Any, _ad: Ad, _evaluator: Evaluator) -> str:
        number = None if isinstance(value, bool) else number_of(value)
        if number is None:
            return " " * 8
        size = float(number) * unit
        for suffix in ("B ", "KB", "MB", "GB"):
            if size <= 1024:
                return f"{size:.1f} {suffix}"
            size /= 1024
        return f"{size:.1f} TB"

    return show


def _show_job_status(_value: Any, ad: Ad, _evaluator: Evaluator) -> str | None:
    if "JobStatus" not in ad:
        return None
    status = ad.number("JobStatus")
    if status == TRANSFERRING_OUTPUT:
        return " >"
    return _name(_STATUS_LETTERS, status, " ") + " "


def _name(names: Any, number: float, unknown: str) -> str:
    name: str = names[int(number)] if 0 <= number < len(names) else unknown
    return name


def _show_batch_name(_value: Any, ad: Ad, evaluator: Evaluator) -> str | None:
    return evaluator.string(ad, "JobBatchName") or None


def _show_command(_value: Any, ad: Ad, evaluator: Evaluator) -> str | None:
    command = evaluator.string(ad, "Cmd")
    arguments = evaluator.string(ad, "Args") or evaluator.string(ad, "Arguments")
    return (f"{command} {arguments}" if arguments else command) or None


def _show_transfers(_value: Any, ad: Ad, evaluator: Evaluator) -> str:
    names = {"TransferringInput": "in", "TransferringOutput": "out", "TransferQueued": "queued"}
    now = [text for name, text in names.items() if evaluator.attribute(ad, name) is True]
    return f" transfer={','.join(now)}" if now else ""


def _show_job_id(_value: Any, ad: Ad, _evaluator: Evaluator) -> str | None:
    return f"{ad.number('ClusterId')}.{ad.number('ProcId', -1)}" if "ClusterId" in ad else None


def _show_memory(_value: Any, ad: Ad, evaluator: Evaluator) -> float | None:
    if (used := evaluator.number(ad, "MemoryUsage", -1)) >= 0:
        return float(int(used))
    return int(evaluator.number(ad, "ImageSize")) / 1024 if "ImageSize" in ad else None


def _show_cpu_time(_value: Any, ad: Ad, evaluator: Evaluator) -> float | None:
    if "RemoteUserCpu" not in ad:
        return None
    return float(int(TableRows(evaluator).compute_run_time(ad)))


def _show_members(value: Any, _ad: Ad, _evaluator: Evaluator) -> int | None:
    if isinstance(value, str):
        return len(_split(value))
    return len(value) if isinstance(value, list) else None


def _show_strings(value: Any, _ad: Ad, _evaluator: Evaluator) -> str | None:
    if not isinstance(value, list):
        return None
    return ", ".join(each for each in value if isinstance(each, str))


def _show_unique(value: Any, _ad: Ad, _evaluator: Evaluator) -> str | None:
    if not isinstance(value, (str, list)):
        return None
    members = _split(value) if isinstance(value, str) else map(value_text, value)
    return ", ".join(sorted(set(members)))


def _split(text: str) -> list[str]:
    return [word for word in _LIST_SEPARATORS.split(text) if word]


def _show_activity_code(value: str, ad: Ad, evaluator: Evaluator) -> str | None:
    words = value.lower(), ad.text("State").lower(), ad.text("Activity").lower()
    if words[0] in _ACTIVITY_LETTERS:
        return _STATE_LETTERS.get(words[1], " ") + _ACTIVITY_LETTERS[words[0]]
    if words[0] in _STATE_LETTERS:
        return _STATE_LETTERS[words[0]] + _ACTIVITY_LETTERS.get(words[2], " ")
    return None


def _show_age(value: float, ad: Ad, evaluator: Evaluator) -> int | None:
    for name in ("MyCurrentTime", "LastHeardFrom"):
        if name in ad:
            return int(max(evaluator.number(ad, name) - value, 0))
    return None


def _show_platform(_value: str, ad: Ad, _evaluator: Evaluator) -> str | None:
    if "OpSysAndVer" not in ad:
        return None
    arch = {"X86_64": "x64", "X86": "x86"}.get(ad.text("Arch"), ad.text("Arch"))
    return f"{arch}/{ad.text('OpSysAndVer')}"


def _show_version(value: str, _ad: Ad, _evaluator: Evaluator) -> str | None:
    found = _VERSION.match(value)
    if found is None:
        return None
    build = found["build"]
    return found["number"] + (f".{build}" if build and build != "$" else "")


def _show_condor_platform(value: str, _ad: Ad, _evaluator: Evaluator) -> str | None:
    found = _PLATFORM.match(value)
    if found is None:
        return None
    name = found[1].replace("-", "_")
    return "x" + name[1:] if name.startswith("X") else name


def _show_heard(sign: int) -> Callable[[Any, Ad, Evaluator], int | None]:
    def show(value: float, ad: Ad, evaluator: Evaluator) -> int | None:
        if "LastHeardFrom" not in ad:
            return None
        return int(evaluator.number(ad, "LastHeardFrom")) + sign * int(value)

    return show


def _show_description(_value: Any, ad: Ad, evaluator: Evaluator) -> str | None:
    return TableRows(evaluator).render_command(ad) if "Cmd" in ad else None


def _show_text(name: str) -> Callable[[Any, Ad, Evaluator], str | None]:
    return lambda _value, ad, evaluator: evaluator.string(ad, name) or None


def _show_number(text: Callable[[float], str]) -> Callable[[Any, Ad, Evaluator], str]:
    return lambda value, _ad, _evaluator: text(value)


def _show_factory_mode(value: Any, _ad: Ad, _evaluator: Evaluator) -> str:
    number = number_of(value)
    return "" if number is None else _FACTORY_MODES.get(int(number), "Unk")


FUNCTIONS: Final = {
    "ACTIVITY_CODE": Function("str", _show_activity_code),
    "ACTIVITY_OR_OCU": Function("str", lambda value, _ad, _evaluator: value or "??"),
    "ACTIVITY_TIME": Function("int", _show_age, "%T"),
    "BATCH_NAME": Function("str", _show_batch_name),
    "BUFFER_IO_MISC": Function("str", _show_transfers),
    "CONDOR_PLATFORM": Function("str", _show_condor_platform),
    "CONDOR_VERSION": Function("str", _show_version),
    "DAG_OWNER": Function("str", _show_text("Owner")),
    "DATE": Function("int", _show_number(format_date), late=True),
    "DUE_DATE": Function("int", _show_heard(1), "%Y"),
    "ELAPSED_TIME": Function("int", _show_heard(-1), "%T"),
    "JOB_COMMAND": Function("str", _show_command),
    "JOB_DESCRIPTION": Function("str", _show_description),
    "JOB_FACTORY_MODE": Function("", _show_factory_mode, late=True),
    "JOB_ID": Function("str", _show_job_id),
    "JOB_STATUS": Function("str", _show_job_status),
    "JOB_STATUS_RAW": Function(
        "int", _show_number(lambda number: _name(_STATUSES, number, _STATUSES[0])), late=True
    ),
    "JOB_UNIVERSE": Function(
        "int", _show_number(lambda number: _name(_UNIVERSES, number, "Unknown")), late=True
    ),
    "LOAD_AVG": Function("real", _show_number("{:.3f}".format), late=True),
    "MEMBER_COUNT": Function("", _show_members, "%d"),
    "MEMORY_USAGE": Function("real", _show_memory, "%.1f"),
    "OWNER": Function("str", _show_text("Owner")),
    "PLATFORM": Function("str", _show_platform),
    "QDATE": Function("int", _show_number(format_date), "%Y", late=True),
    "READABLE_BYTES": Function("", _show_readable(1), late=True),
    "READABLE_KB": Function("", _show_readable(1024), late=True),
    "READABLE_MB": Function("", _show_readable(1024 * 1024), late=True),
    "REMOTE_HOST": Function("str", _show_text("RemoteHost")),
    "RUNTIME": Function("real", _show_number(format_duration), late=True),
    "STRINGS_FROM_LIST": Function("", _show_strings),
    "TIME": Function("int", _show_number(format_duration), late=True),
    "UNIQUE": Function("", _show_unique),
}
#: Those that condor_q alone knows.
QUEUE_FUNCTIONS: Final = {"CPU_TIME": Function("real", _show_cpu_time, "%T")}
#: Nothing here has the attributes of which these make their texts.
REFUSED: Final = ("GRID_JOB_ID", "GRID_RESOURCE", "GRID_STATUS", "UNHEALTH")
