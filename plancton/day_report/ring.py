"""A file with one row a minute for the last day, of constant size.

A header line names the columns, so that a file of another version is not misread.
Row ``minute % ROWS`` holds that minute (minutes since 1970) and a double for each
column; NaN is "not known".
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hostfiles.regular_file import open_regular
from plancton.metrics.series import EVICTIONS

ROWS = 1440
#: The columns that hold a minute's mean.
GAUGES = (
    "ncpus", "owner_cpus", "pilots_cpus", "mem_total", "mem_available", "pilots_mem",
    "running", "capacity", "owner_squeezed",
)  # fmt: skip
#: Evictions by reason, as the series has them.
REASONS = {f"evicted_{reason.replace('-', '_')}": reason for reason in EVICTIONS.values}
#: The columns that hold a minute's sum.
COUNTS = (
    "started", "finished_cpu_seconds", "evicted", "evicted_cpu_seconds", *REASONS,
    "ended_normal", "ended_no_work", "ended_failure", "ended_other",
)  # fmt: skip
COLUMNS = GAUGES + COUNTS
_HEAD = json.dumps({"plancton-day": 1, "columns": COLUMNS}).encode().ljust(511) + b"\n"
_ROW = struct.Struct(f"<q{len(COLUMNS)}d")


@dataclass(frozen=True)
class Minute:
    """The values of one minute (since 1970); only what is known is in ``values``."""

    minute: int
    values: Mapping[str, float]


class WrongFormat(ValueError):
    """The file is of another version, or is something else."""


def write_row(path: Path, row: Minute) -> None:
    """Put one row into its place; makes the file, or begins again if it is of another version.

    What a daemon before this one counted in the same minute is added. Raises OSError.
    """
    handle = open_regular(path, os.O_RDWR | os.O_CREAT)
    try:
        if os.pread(handle, len(_HEAD), 0) != _HEAD:
            os.ftruncate(handle, 0)
            os.pwrite(handle, _HEAD, 0)
            # from the start: a full disk shows now, and no row can fail later
            os.posix_fallocate(handle, 0, len(_HEAD) + ROWS * _ROW.size)
        place = len(_HEAD) + row.minute % ROWS * _ROW.size
        # a file that somebody cut off has no such row
        minute, *before = _ROW.unpack(os.pread(handle, _ROW.size, place).ljust(_ROW.size, b"\0"))
        values = [row.values.get(name, math.nan) for name in COLUMNS]
        if minute == row.minute:
            values = [
                old if math.isnan(new) else new if math.isnan(old) or name in GAUGES else new + old
                for name, old, new in zip(COLUMNS, before, values, strict=True)
            ]
        os.pwrite(handle, _ROW.pack(row.minute, *values), place)
    finally:
        os.close(handle)


def read_rows(path: Path, now: float) -> list[Minute]:
    """Return the rows of the day before ``now`` (seconds since 1970), in order.

    Raises OSError, WrongFormat.
    """
    with open(path, "rb", opener=open_regular) as file:
        data = file.read()
    if not data.startswith(_HEAD):
        raise WrongFormat(f"{path}: not a day file of this version")
    rows = []
    last = int(now // 60)
    for place in range(len(_HEAD), len(data) - _ROW.size + 1, _ROW.size):
        minute, *values = _ROW.unpack_from(data, place)
        if last - ROWS < minute <= last:
            known = {
                name: value
                for name, value in zip(COLUMNS, values, strict=True)
                if not math.isnan(value)
            }
            rows.append(Minute(minute, known))
    return sorted(rows, key=lambda row: row.minute)
