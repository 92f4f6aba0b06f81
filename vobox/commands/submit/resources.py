"""The commands request_<resource>, and require_gpus."""

from __future__ import annotations

import re

from vobox.classad.ad import Ad

from .errors import submit_error
from .expressions import canonicalize
from .job_commands import Commands

#: As HTCondor's parse_int64_bytes: of a fraction three digits count.
_SIZE = re.compile(
    r"(?=[-+.]?\d)([-+]?\d{0,18})(?:\.(\d{0,3})\d*)?\s*(?:([KMGT])B?)?\Z", re.IGNORECASE
)
#: KiB in one unit
_UNITS = {"K": 1, "M": 1024, "G": 1024**2, "T": 1024**3}
#: Attribute, unit (in KiB) that a bare number and the attribute count in, default.
_SIZES = {
    "memory": ("RequestMemory", 1024, "128"),
    "disk": ("RequestDisk", 1, "DiskUsage"),
}
_NUMBERS = {"cpus": ("RequestCpus", "1"), "gpus": ("RequestGPUs", "")}
#: No resources of the node's own.
_MISSPELT = ("cpu", "gpu", "gpu_memory")
_SIZES_ONLY = {tag: (attribute, unit, "") for tag, (attribute, unit, _) in _SIZES.items()}
_NUMBERS_ONLY = {tag: (attribute, "") for tag, (attribute, _) in _NUMBERS.items()}


def parse_size(text: str, unit: int) -> int | None:
    """Return a size like ``2 GB`` in units of ``unit`` KiB, rounded up; None for an expression."""
    found = _SIZE.match(text)
    if found is None:
        return None
    whole, fraction, letter = found.groups()
    number = int(whole or 0) + float(f"0.{fraction or 0}")
    # in doubles, and cut towards zero: -1 is 0, and 99999999999 is 100000000000
    size = number * (_UNITS[letter.upper()] if letter else unit) * 1024 + unit * 1024 - 1
    return int(abs(int(size)) // (unit * 1024)) * (1 if size > 0 else -1)


def _parse_first_size(command: str, text: str, unit: int) -> int | None:
    """Return the size, which a comma may follow; raises SubmitError where another one does."""
    first, _, more = text.partition(",")
    size = parse_size(first.strip(), unit)
    if size is not None and more:
        raise submit_error(
            f"{command} = {text}: a job is not run again with more memory or disk; give one size"
        )
    return size


def record_requests(commands: Commands, ad: Ad, defaults: bool) -> None:
    """Record Request...; raises SubmitError.

    ``defaults``: whether those that were not requested have a value.
    """
    sizes, numbers = (_SIZES, _NUMBERS) if defaults else (_SIZES_ONLY, _NUMBERS_ONLY)
    for tag, (attribute, unit, default) in sizes.items():
        text = commands.get(f"request_{tag}", attribute)
        number = None if text is None else _parse_first_size(f"request_{tag}", text, unit)
        _record_request(
            ad,
            attribute,
            text,
            str(number) if number is not None else None,
            default if defaults else "",
        )
    for tag, (attribute, default) in numbers.items():
        text = commands.get(f"request_{tag}", attribute)
        _record_request(ad, attribute, text, None, default)
    if "RequestGPUs" in ad and (text := commands.get("require_gpus", "RequireGPUs")):
        ad["RequireGPUs"] = canonicalize("RequireGPUs", text)
    for key in commands.find_names("request_"):
        tag = key[len("request_") :]
        if tag.lower() in (*_SIZES, *_NUMBERS, *_MISSPELT) or len(tag) < 2 or tag[0] == "_":
            continue
        if text := commands.get(key):
            ad[f"Request{tag}"] = canonicalize(f"Request{tag}", text)


def _record_request(
    ad: Ad, attribute: str, text: str | None, number: str | None, default: str
) -> None:
    if text is None:
        if default:
            ad[attribute] = default
    elif text.lower() != "undefined":
        ad[attribute] = number if number is not None else canonicalize(attribute, text)
