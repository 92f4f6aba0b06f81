"""The fields of all messages: how each is checked, written and read.

A name means the same in every kind of message. A writer returns a JSON value and
puts bytes into a BlobWriter; a reader takes them from a BlobReader. Both raise ValueError with what
was expected ("a finite number").
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from .blobs import BlobReader, BlobWriter, check_count, check_integer
from .events import HoldReason, Usage
from .job import FileOnDisk, JobId, SandboxFile
from .mail import ACTIONS, Machine

#: Seconds since 1970 at which no calendar of Python's has a date any more.
_YEAR_10000 = 253402300800


def _number(value: Any) -> float:
    # NaN compares to nothing: the last clause refuses it and the infinities
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e300:
        raise ValueError("a finite number")
    return float(value)


def _seconds(value: Any) -> float:
    if _number(value) < 0:
        raise ValueError("a number of seconds from 0")
    return float(value)


def _moment(value: Any) -> float:
    if not 0 <= _number(value) < _YEAR_10000:
        raise ValueError("a time in seconds since 1970, before the year 10000")
    return float(value)


def _signal(value: Any) -> int:
    # 0 is HTCondor's default, SIGTERM
    if not 0 <= check_integer(value) < signal.NSIG:
        raise ValueError(f"a signal, 0 to {signal.NSIG - 1}")
    return int(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a text")
    return value


def _name(value: Any) -> str:
    # printable: neither a line end nor half a character, which no database or log would take
    if not isinstance(value, str) or not 0 < len(value) <= 255 or not value.isprintable():
        raise ValueError("a name of 1 to 255 printable characters")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _action(value: Any) -> str:
    if not isinstance(value, str) or value not in ACTIONS:
        raise ValueError("one of " + ", ".join(ACTIONS))
    return value


def _write_job(job: Any, _blobs: BlobWriter) -> str:
    if not isinstance(job, JobId):
        raise ValueError("a job id")
    text = str(job)
    _job(text)
    return text


def _job(value: Any) -> JobId:
    try:
        return JobId.parse(_text(value))
    except ValueError as error:
        raise ValueError("a job id (cluster.proc)") from error


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)):
        raise ValueError("a list of texts")
    return tuple(_text(item) for item in value)


def _mapping(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError("names with texts")
    # a job ad has seventy; a schedd that rebuilds its ledger reads a million of them
    if {*map(type, value), *map(type, value.values())} <= {str}:
        return dict(value)
    return {_text(name): _text(text) for name, text in value.items()}


def _relative(value: Any) -> str:
    name = _name_of_file(value)
    parts = name.split("/")
    if name.startswith("/") or not {"", ".", ".."}.isdisjoint(parts):
        raise ValueError("a path inside the scratch directory")
    return name


def _name_of_file(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("a path")
    return value


def _paths(value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)):
        raise ValueError("a list of paths")
    return tuple(_name_of_file(item) for item in value)


def _stdin(value: Any) -> str:
    return "" if value == "" else _name_of_file(value)


def _write_files(files: Any, blobs: BlobWriter) -> list[Any]:
    if not isinstance(files, tuple) or not all(isinstance(file, SandboxFile) for file in files):
        raise ValueError("a list of files")
    return [
        {
            "name": _relative(file.name),
            "mode": check_count(file.mode),
            "data": blobs.put_chunks(file.chunks())
            if isinstance(file, FileOnDisk)
            else blobs.put(file.data),
        }
        for file in files
    ]


def _read_files(value: Any, stored: BlobReader) -> tuple[SandboxFile, ...]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError("a list of files")
    return tuple(
        SandboxFile(
            name=_relative(item.get("name")),
            data=stored.get(item.get("data")),
            # neither setuid nor sticky: the worker writes files as itself, not as the job
            mode=check_count(item.get("mode")) & 0o777,
        )
        for item in value
    )


def _write_hold(hold: Any, _blobs: BlobWriter) -> Any:
    if hold is None:
        return None
    if not isinstance(hold, HoldReason):
        raise ValueError("a hold reason")
    return [check_integer(hold.code), check_integer(hold.subcode), _text(hold.text)]


def _read_hold(value: Any, _stored: BlobReader) -> HoldReason | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 3:
        raise ValueError("[code, subcode, text]")
    return HoldReason(check_integer(value[0]), check_integer(value[1]), _text(value[2]))


def _write_usage(usage: Any, _blobs: BlobWriter) -> Any:
    if not isinstance(usage, Usage):
        raise ValueError("a usage")
    return [
        _number(usage.user_cpu),
        _number(usage.system_cpu),
        _number(usage.wall),
        check_count(usage.peak_rss),
        check_count(usage.rss),
        check_count(usage.disk),
    ]


def _read_usage(value: Any, _stored: BlobReader) -> Usage:
    # the first release knew four of them; a later one may add some
    if not isinstance(value, list) or len(value) < 4:
        raise ValueError("[user CPU, system CPU, wall, peak RSS, RSS, disk]")
    user_cpu, system_cpu, wall = (_number(each) for each in value[:3])
    return Usage(user_cpu, system_cpu, wall, *(check_count(each) for each in value[3:6]))


def _write_machine(machine: Any, _blobs: BlobWriter) -> Any:
    if machine is None:
        return None
    if not isinstance(machine, Machine):
        raise ValueError("a machine")
    return {name: check(getattr(machine, name)) for name, check in _MACHINE.items()}


def _read_machine(value: Any, _stored: BlobReader) -> Machine | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ValueError("a machine")
    try:
        return Machine(**{name: check(value.get(name)) for name, check in _MACHINE.items()})
    except ValueError as error:
        raise ValueError(f"a machine, each of it {error}") from error


Writer = Callable[[Any, BlobWriter], Any]
Reader = Callable[[Any, BlobReader], Any]


def _both(check: Callable[[Any], Any]) -> tuple[Writer, Reader]:
    return (lambda value, _blobs: check(value)), (lambda value, _stored: check(value))


def _optional(check: Callable[[Any], Any]) -> tuple[Writer, Reader]:
    return _both(lambda value: None if value is None else check(value))


_BLOB: tuple[Writer, Reader] = (
    lambda data, blobs: blobs.put(data),
    lambda place, stored: stored.get(place),
)
_FILES: tuple[Writer, Reader] = (_write_files, _read_files)

_MACHINE: dict[str, Callable[[Any], Any]] = {
    "cpus": check_count,
    "memory": check_count,
    "disk": check_count,
    "arch": _name,
    "opsys": _name,
    "opsys_and_ver": _name,
    "load": _seconds,
}

TASK_FIELDS: dict[str, tuple[Writer, Reader]] = {
    "executable": _both(_name_of_file),
    "arguments": _both(_texts),
    "environment": _both(_mapping),
    "scratch_env": _both(_texts),
    "files": _FILES,
    "stdin": _both(_stdin),
    "directory": _both(_text),
    "output_files": _optional(_paths),
    "merge_stderr": _both(_flag),
    "max_stream": _both(check_count),
    "max_output": _both(check_count),
    "kill_signal": _both(_signal),
    "kill_grace": _both(_seconds),
    "lease": _both(_seconds),
    "allowed_job_duration": _both(_seconds),
    "allowed_execute_duration": _both(_seconds),
}

MESSAGE_FIELDS: dict[str, tuple[Writer, Reader]] = {
    "schedd": _both(_name),
    "job": (_write_job, lambda value, _stored: _job(value)),
    "time": _both(_moment),
    "pool": _both(_name),
    "uid": _both(check_count),
    "gid": _both(check_count),
    "attempt": _both(check_count),
    "ad": _both(_mapping),
    "worker": _both(_name),
    "host": _both(_name),
    "exit_code": _optional(check_integer),
    "signal": _optional(check_count),
    "usage": (_write_usage, _read_usage),
    "stdout": _BLOB,
    "stderr": _BLOB,
    "files": _FILES,
    "hold": (_write_hold, _read_hold),
    "reason": _both(_text),
    "token": _both(_name),
    "next_cluster": _both(check_count),
    "run": _both(_flag),
    "recorded": _both(_flag),
    "force": _both(_flag),
    "machine": (_write_machine, _read_machine),
    "since": _both(_number),
    "interval": _both(_seconds),
    "jobs": _both(check_count),
    "leaving": _both(_flag),
    "action": _both(_action),
    "name": _both(_name_of_file),
    "offset": _both(check_integer),
    "limit": _both(check_count),
    "size": _both(check_count),
    "data": _BLOB,
}

#: ``kind.field`` that a message may lack: it then has the class's default.
OPTIONAL_FIELDS: frozenset[str] = frozenset(
    {
        "heartbeat.machine", "waiting.jobs", "waiting.leaving", "verdict.recorded",
        "task.allowed_job_duration", "task.allowed_execute_duration",
    }
)  # fmt: skip
