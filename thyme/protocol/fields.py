"""The fields of all messages: how each is checked, written and read.

A name means the same in every kind of message. A writer returns a JSON value and
puts bytes into a BlobWriter; a reader takes them from a BlobReader. Both raise ValueError with what
was expected ("a finite number").
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from typing import Any

from .blobs import BlobReader, BlobWriter, check_count, check_integer
from .events import MAX_SHARING, HoldReason, Machine, Usage, clean_reason
from .job import FileOnDisk, JobId, SandboxFile, find_runs
from .mail import ACTIONS

#: The highest number of a job's attempt. What a worker says of a higher one is not believed, so
#: that a next attempt can have a number, too.
MAX_ATTEMPT = 1_000_000
#: Seconds since 1970 at which no calendar of Python's has a date any more.
_YEAR_10000 = 253402300800
#: KiB, or bytes, that a run can have used: rounded up, as in its ad, they still have 64 bits.
_MOST_USED = 2**60
#: 18 digits fit every 64-bit integer.
_CLUSTERS = 10**18
_JOB_RUN = re.compile(r"(\d{1,18})\.(\d{1,18})(?:-(\d{1,18}))?\Z", re.ASCII)
_JOB_IDS = f"1 to {MAX_SHARING} job ids (cluster.proc, or cluster.proc-proc)"


def _check_number(value: Any) -> float:
    # NaN compares to nothing: the last clause refuses it and the infinities
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e300:
        raise ValueError("a finite number")
    return float(value)


def _check_seconds(value: Any) -> float:
    if _check_number(value) < 0:
        raise ValueError("a number of seconds from 0")
    return float(value)


def _check_moment(value: Any) -> float:
    if not 0 <= _check_number(value) < _YEAR_10000:
        raise ValueError("a time in seconds since 1970, before the year 10000")
    return float(value)


def _check_attempt(value: Any) -> int:
    if check_count(value) > MAX_ATTEMPT:
        raise ValueError(f"an attempt's number, at most {MAX_ATTEMPT}")
    return int(value)


def _check_signal(value: Any, first: int = 1) -> int:
    if not first <= check_integer(value) < signal.NSIG:
        raise ValueError(f"a signal, {first} to {signal.NSIG - 1}")
    return int(value)


def _check_kill_signal(value: Any) -> int:
    return _check_signal(value, 0)  # HTCondor's default, SIGTERM


def check_next_cluster(value: Any) -> int:
    """Return ``value`` if the next job's cluster can have this number; raises ValueError."""
    if check_count(value) >= _CLUSTERS:
        raise ValueError(f"a cluster's number, below {_CLUSTERS}")
    return int(value)


def _check_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a text")
    return value


def _check_name(value: Any) -> str:
    # printable: neither a line end nor half a character, which no database or log would take
    if not isinstance(value, str) or not 0 < len(value) <= 255 or not value.isprintable():
        raise ValueError("a name of 1 to 255 printable characters")
    return value


def _check_flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _check_action(value: Any) -> str:
    if not isinstance(value, str) or value not in ACTIONS:
        raise ValueError("one of " + ", ".join(ACTIONS))
    return value


def _write_job(job: Any, _blobs: BlobWriter) -> str:
    if not isinstance(job, JobId):
        raise ValueError("a job id")
    text = str(job)
    _read_job(text)
    return text


def _read_job(value: Any) -> JobId:
    try:
        return JobId.parse(_check_text(value))
    except ValueError as error:
        raise ValueError("a job id (cluster.proc)") from error


def _write_job_ids(jobs: Any, _blobs: BlobWriter) -> list[str]:
    """Return job ids as a list of ``cluster.proc`` and, for runs, ``cluster.proc-proc``."""
    if not isinstance(jobs, tuple) or not all(isinstance(each, JobId) for each in jobs):
        raise ValueError(_JOB_IDS)
    if not 0 < len(jobs) <= MAX_SHARING:
        raise ValueError(_JOB_IDS)
    written = [
        f"{cluster}.{first}" + (f"-{last}" if last > first else "")
        for cluster, first, last in find_runs(jobs)
    ]
    if not all(map(_JOB_RUN.match, written)):
        raise ValueError(_JOB_IDS)
    return written


def _read_job_ids(value: Any) -> tuple[JobId, ...]:
    if not isinstance(value, list):
        raise ValueError(_JOB_IDS)
    jobs: list[JobId] = []
    for text in value:
        match = _JOB_RUN.match(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(_JOB_IDS)
        cluster, first = int(match[1]), int(match[2])
        last = int(match[3] or first)
        if last < first or len(jobs) + last - first >= MAX_SHARING:
            raise ValueError(_JOB_IDS)
        jobs += [JobId(cluster, proc) for proc in range(first, last + 1)]
    if not jobs:
        raise ValueError(_JOB_IDS)
    return tuple(jobs)


def _check_texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)):
        raise ValueError("a list of texts")
    return tuple(_check_text(item) for item in value)


def _check_mapping(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError("names with texts")
    # a job ad has seventy; a schedd that rebuilds its ledger reads a million of them
    if {*map(type, value), *map(type, value.values())} <= {str}:
        return dict(value)
    return {_check_text(name): _check_text(text) for name, text in value.items()}


def _check_relative_path(value: Any) -> str:
    name = _check_file_name(value)
    parts = name.split("/")
    if name.startswith("/") or not {"", ".", ".."}.isdisjoint(parts):
        raise ValueError("a path inside the scratch directory")
    return name


def _check_file_name(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("a path")
    return value


def _check_paths(value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)):
        raise ValueError("a list of paths")
    return tuple(_check_file_name(item) for item in value)


def _check_stdin(value: Any) -> str:
    return "" if value == "" else _check_file_name(value)


def _write_files(files: Any, blobs: BlobWriter) -> list[Any]:
    if not isinstance(files, tuple) or not all(isinstance(file, SandboxFile) for file in files):
        raise ValueError("a list of files")
    return [
        {
            "name": _check_relative_path(file.name),
            "mode": check_count(file.mode),
            **({"directory": True} if file.is_directory else {}),
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
            name=_check_relative_path(item.get("name")),
            data=stored.get(item.get("data")),
            # neither setuid nor sticky: the worker writes files as itself, not as the job
            mode=check_count(item.get("mode")) & 0o777,
            is_directory=_check_flag(item.get("directory", False)),
        )
        for item in value
    )


def _write_hold(hold: Any, _blobs: BlobWriter) -> Any:
    if hold is None:
        return None
    if not isinstance(hold, HoldReason):
        raise ValueError("a hold reason")
    return [check_integer(hold.code), check_integer(hold.subcode), _check_text(hold.text)]


def _read_hold(value: Any, _stored: BlobReader) -> HoldReason | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 3:
        raise ValueError("[code, subcode, text]")
    return HoldReason(check_integer(value[0]), check_integer(value[1]), _check_text(value[2]))


def _write_usage(usage: Any, _blobs: BlobWriter) -> Any:
    if not isinstance(usage, Usage):
        raise ValueError("a usage")
    return [
        _check_number(usage.user_cpu),
        _check_number(usage.system_cpu),
        _check_number(usage.wall),
        check_count(usage.peak_rss),
        check_count(usage.rss),
        check_count(usage.disk),
        check_count(usage.received),
    ]


def _limit_seconds(value: float) -> float:
    """Return seconds that a run can have taken: a user log has room for them."""
    return min(max(value, 0.0), _YEAR_10000)


def _read_usage(value: Any, _stored: BlobReader) -> Usage:
    # a later release may add some
    if not isinstance(value, list) or len(value) < 7:
        raise ValueError("[user CPU, system CPU, wall, peak RSS, RSS, disk, received]")
    user_cpu, system_cpu, wall = (_limit_seconds(_check_number(each)) for each in value[:3])
    sizes = (min(check_count(each), _MOST_USED) for each in value[3:7])
    return Usage(user_cpu, system_cpu, wall, *sizes)


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


def _check_both_ways(check: Callable[[Any], Any]) -> tuple[Writer, Reader]:
    """Return a writer and a reader of a field that ``check`` validates and returns."""
    return (lambda value, _blobs: check(value)), (lambda value, _stored: check(value))


def _check_unless_none(check: Callable[[Any], Any]) -> tuple[Writer, Reader]:
    """Return a writer and a reader of a field that may be None."""
    return _check_both_ways(lambda value: None if value is None else check(value))


_BLOB: tuple[Writer, Reader] = (
    lambda data, blobs: blobs.put(data),
    lambda place, stored: stored.get(place),
)
_FILES: tuple[Writer, Reader] = (_write_files, _read_files)

_MACHINE: dict[str, Callable[[Any], Any]] = {
    "cpus": check_count,
    "memory": check_count,
    "disk": check_count,
    "arch": _check_name,
    "opsys": _check_name,
    "opsys_and_ver": _check_name,
    "load": _check_seconds,
}

TASK_FIELDS: dict[str, tuple[Writer, Reader]] = {
    "executable": _check_both_ways(_check_file_name),
    "arguments": _check_both_ways(_check_texts),
    "environment": _check_both_ways(_check_mapping),
    "scratch_env": _check_both_ways(_check_texts),
    "files": _FILES,
    "stdin": _check_both_ways(_check_stdin),
    "directory": _check_both_ways(_check_text),
    "output_files": _check_unless_none(_check_paths),
    "merge_stderr": _check_both_ways(_check_flag),
    "max_stream": _check_both_ways(check_count),
    "max_output": _check_both_ways(check_count),
    "kill_signal": _check_both_ways(_check_kill_signal),
    "kill_grace": _check_both_ways(_check_seconds),
    "lease": _check_both_ways(_check_seconds),
    "allowed_job_duration": _check_both_ways(_check_seconds),
    "allowed_execute_duration": _check_both_ways(_check_seconds),
}

MESSAGE_FIELDS: dict[str, tuple[Writer, Reader]] = {
    "schedd": _check_both_ways(_check_name),
    "job": (_write_job, lambda value, _stored: _read_job(value)),
    "job_ids": (_write_job_ids, lambda value, _stored: _read_job_ids(value)),
    "time": _check_both_ways(_check_moment),
    "pool": _check_both_ways(_check_name),
    "uid": _check_both_ways(check_count),
    "gid": _check_both_ways(check_count),
    "attempt": _check_both_ways(_check_attempt),
    "ad": _check_both_ways(_check_mapping),
    "worker": _check_both_ways(_check_name),
    "host": _check_both_ways(_check_name),
    "exit_code": _check_unless_none(check_integer),
    "signal": _check_unless_none(_check_signal),
    "usage": (_write_usage, _read_usage),
    "stdout": _BLOB,
    "stderr": _BLOB,
    "files": _FILES,
    "hold": (_write_hold, _read_hold),
    "reason": _check_both_ways(lambda value: clean_reason(_check_text(value))),
    "state": _check_both_ways(_check_text),
    "token": _check_both_ways(_check_name),
    "next_cluster": _check_both_ways(check_next_cluster),
    "run": _check_both_ways(_check_flag),
    "wait": _check_both_ways(_check_flag),
    "again": _check_both_ways(_check_flag),
    "life": _check_both_ways(_check_name),
    "force": _check_both_ways(_check_flag),
    "machine": (_write_machine, _read_machine),
    "since": _check_both_ways(_check_moment),
    "interval": _check_both_ways(_check_seconds),
    "jobs": _check_both_ways(check_count),
    "leaving": _check_both_ways(_check_flag),
    "action": _check_both_ways(_check_action),
    "name": _check_both_ways(_check_file_name),
    "offset": _check_both_ways(check_integer),
    "limit": _check_both_ways(check_count),
    "size": _check_both_ways(check_count),
    "data": _BLOB,
}
