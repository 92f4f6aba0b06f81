"""Read sizes and times as people write them: ``2GB``, ``1.5 GiB``, ``12h``, ``1h30min``."""

from __future__ import annotations

import re

#: More digits would be beyond what any limit of a kernel or of an engine holds.
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,15})?) ?(?:([KMGT])(i?)|([kmgtKMGT]?)(i?)[bB])", re.ASCII)
_TIME = re.compile(r"(\d+(?:\.\d+)?) ?(ms|s|min|m|h|d)", re.ASCII)
_TIMES = re.compile(rf"{_TIME.pattern}(?: ?{_TIME.pattern})*", re.ASCII)
#: The same for a JSON schema.
SIZE_PATTERN = r"^[0-9]{1,15}(\.[0-9]{1,15})? ?([KMGT]i?|[kmgtKMGT]?i?[bB])$"
TIME_PATTERN = r"^[0-9]+(\.[0-9]+)? ?(ms|s|min|m|h|d)( ?[0-9]+(\.[0-9]+)? ?(ms|s|min|m|h|d))*$"
_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_size(text: str) -> int | None:
    """Return the bytes of a size with a unit; None where it is none.

    As in Kubernetes ``2G`` and ``2GB`` are 2·10⁹ bytes, ``2Gi`` and ``2GiB`` 2·2³⁰. ``2g`` is none:
    to Docker it is the second.
    """
    written = _SIZE.fullmatch(text.strip())
    if written is None:
        return None
    letter, binary = (written[2] or written[4] or "").upper(), written[3] or written[5]
    power = " KMGT".index(letter) if letter else 0
    return round(float(written[1]) * float((1024 if binary else 1000) ** power))


def parse_time(text: str) -> float | None:
    """Return the seconds of a time with units; None where it is none."""
    if not _TIMES.fullmatch(text.strip()):
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in _TIME.findall(text))
