"""The ``$FN(...)`` functions of the submit language.

Each takes the arguments (expanded, trimmed), the letters after ``$F``, a
function that gives a macro's expanded value, and the source of randomness.
A first argument names a macro; where there is none of that name it is the
value itself.
"""

from __future__ import annotations

import contextlib
import math
import posixpath
import random
import re
from collections.abc import Callable

import classad2

from vobox.classad.ad import Ad, ParseError, convert_old_syntax, evaluate
from vobox.classad.literals import value_text

Lookup = Callable[[str], str | None]
Function = Callable[[list[str], str, Lookup, random.Random], str]

#: The macro with the directory of condor_submit; no description can name it.
SUBMIT_DIRECTORY = "./"
_NAME = re.compile(r"[A-Za-z_][\w.]*\Z")
#: One conversion, with text around it.
_INT_FORMAT = re.compile(r"(?:[^%]|%%)*%[-+ 0#]*\d{0,3}(?:\.\d{1,3})?[dixXou](?:[^%]|%%)*\Z")
_REAL_FORMAT = re.compile(r"(?:[^%]|%%)*%[-+ 0#]*\d{0,3}(?:\.\d{1,3})?[fFeEgG](?:[^%]|%%)*\Z")
_STRING_FORMAT = re.compile(r"(?:[^%]|%%)*%-?\d{0,4}(?:\.\d{1,4})?s(?:[^%]|%%)*\Z")
_LENGTH = re.compile(r"(%[-+ 0#\d.]*)(?:hh?|ll?|[Lqjzt])(?=[A-Za-z])")
_LARGEST = 2**63 - 1


class FunctionError(Exception):
    """The arguments make no sense; the text says which."""


def _look_up(argument: str, lookup: Lookup) -> str:
    found = lookup(argument) if _NAME.match(argument) else None
    return argument if found is None else found


def _evaluate(text: str) -> object:
    try:
        return evaluate(convert_old_syntax(text), Ad(), 0)
    except ParseError:
        raise FunctionError(f"{text!r} is not an expression") from None


def _evaluate_number(text: str) -> float:
    try:
        value: object = int(text)  # also one beyond 64 bits
    except ValueError:
        value = _evaluate(text)
    if isinstance(value, classad2.Value) or not isinstance(value, (int, float)):
        raise FunctionError(f"{text!r} is not a number")
    return value


def _evaluate_integer(text: str) -> int:
    value = _evaluate_number(text)
    if not math.isfinite(value):
        raise FunctionError(f"{text!r} is not an integer")
    return min(max(int(value), -_LARGEST - 1), _LARGEST)


def _format(pattern: re.Pattern[str], spec: list[str], default: str, value: object) -> str:
    wanted = _LENGTH.sub(r"\1", ",".join(spec)) if spec else default
    if not pattern.match(wanted):
        raise FunctionError(f"{wanted!r} is not a format for this")
    return wanted % value


def _int(arguments: list[str], _flags: str, lookup: Lookup, _rng: random.Random) -> str:
    number = _evaluate_integer(_look_up(arguments[0], lookup))
    return _format(_INT_FORMAT, arguments[1:], "%d", number)


def _real(arguments: list[str], _flags: str, lookup: Lookup, _rng: random.Random) -> str:
    number = float(_evaluate_number(_look_up(arguments[0], lookup)))
    text = _format(_REAL_FORMAT, arguments[1:], "%.16G", number)
    return text if "." in text or len(arguments) == 1 else text + ".0"


def _string(arguments: list[str], _flags: str, lookup: Lookup, _rng: random.Random) -> str:
    text = _look_up(arguments[0], lookup)
    with contextlib.suppress(FunctionError):
        value = _evaluate(text)
        text = value if isinstance(value, str) else text
    return _format(_STRING_FORMAT, arguments[1:], "%s", text)


def _eval(arguments: list[str], _flags: str, lookup: Lookup, _rng: random.Random) -> str:
    value = _evaluate(_look_up(",".join(arguments), lookup))
    # a real as new ClassAds write it
    is_written = isinstance(value, float) and value and math.isfinite(value)
    return f"{value:.15E}" if is_written else value_text(value)


def _choice(arguments: list[str], _flags: str, lookup: Lookup, _rng: random.Random) -> str:
    items = arguments[1:]
    if len(items) == 1:
        items = [item.strip() for item in _look_up(items[0], lookup).split(",")]
    index = _evaluate_integer(_look_up(arguments[0], lookup))
    if not 0 <= index < len(items):
        raise FunctionError(f"index {index} is not within the {len(items)} items")
    return items[index]


def _random_choice(arguments: list[str], _flags: str, lookup: Lookup, rng: random.Random) -> str:
    if len(arguments) == 1:
        arguments = re.split(r"[,\s]+", _look_up(arguments[0], lookup))
    return rng.choice(arguments)


def _random_integer(arguments: list[str], _flags: str, lookup: Lookup, rng: random.Random) -> str:
    numbers = [_evaluate_integer(_look_up(text, lookup)) for text in arguments]
    if len(numbers) not in (2, 3):
        raise FunctionError("needs (min, max) or (min, max, step)")
    low, high, step = numbers[0], numbers[1], numbers[2] if len(numbers) == 3 else 1
    if step < 1 or high < low:
        raise FunctionError("min must not be above max, step must be 1 or more")
    return str(rng.randrange(low, high + 1, step))


def _substr(arguments: list[str], _flags: str, lookup: Lookup, _rng: random.Random) -> str:
    if len(arguments) not in (2, 3):
        raise FunctionError("needs (name, start) or (name, start, length)")
    text = (lookup(arguments[0]) or "") if _NAME.match(arguments[0]) else arguments[0]
    start = _evaluate_integer(_look_up(arguments[1], lookup))
    start = max(len(text) + start, 0) if start < 0 else start
    if len(arguments) == 2:
        return text[start:]
    length = _evaluate_integer(_look_up(arguments[2], lookup))
    return text[start : start + length] if length >= 0 else text[start:length]


def _basename(arguments: list[str], _flags: str, lookup: Lookup, _rng: random.Random) -> str:
    name = posixpath.basename(_strip_quotes(_look_up(arguments[0], lookup)))
    return name.removesuffix(arguments[1]) if len(arguments) > 1 else name


def _dirname(arguments: list[str], _flags: str, lookup: Lookup, _rng: random.Random) -> str:
    path = _strip_quotes(_look_up(arguments[0], lookup))
    return path[: path.rfind("/") + 1]


def _filename(arguments: list[str], flags: str, lookup: Lookup, _rng: random.Random) -> str:
    """Return the parts of a file name that ``$F[fpduwnxbqa](name)`` asks for."""
    path = _strip_quotes(_look_up(arguments[0], lookup))
    if "f" in flags:
        path = posixpath.join(lookup(SUBMIT_DIRECTORY) or "", path)
    directory, base = path[: path.rfind("/") + 1], path[path.rfind("/") + 1 :]
    dot = base.rfind(".")
    stem, extension = (base, "") if dot < 1 else (base[:dot], base[dot:])
    wanted = set(flags) & (set("pdnx") if directory or not set(flags) & set("nx") else set("nx"))
    if wanted == {"x"}:
        result = extension.removeprefix(".") if "b" in flags else extension
    elif not wanted:
        result = path
    else:
        if "d" in wanted:
            result = _last_directories(directory, flags.count("d"))
        else:
            result = directory if "p" in wanted else ""
        if not wanted & set("nx"):
            result = result.removesuffix("/") if "b" in flags else result
        else:
            result += base if "x" in wanted else stem  # as in HTCondor, x brings the name as well
    if flags.rfind("w") > flags.rfind("u"):  # the last one counts
        result = result.replace("/", "\\")
    elif "u" in flags:
        result = result.replace("\\", "/")
    if "q" in flags:
        mark = "'" if "a" in flags else '"'
        result = f"{mark}{result}{mark}"
    return result


def _last_directories(directory: str, count: int) -> str:
    """Return the last ``count`` of ``/a/b/``; HTCondor counts what is before the first slash, too.

    ``directory``: "", or what ends in a slash.
    """
    parts = directory.split("/")
    return "/".join(parts[-count - 1 :])


def _strip_quotes(text: str) -> str:
    return text[1:].removesuffix('"') if text.startswith('"') else text


FUNCTIONS: dict[str, Function] = {
    "BASENAME": _basename,
    "CHOICE": _choice,
    "DIRNAME": _dirname,
    "EVAL": _eval,
    "F": _filename,
    "INT": _int,
    "RANDOM_CHOICE": _random_choice,
    "RANDOM_INTEGER": _random_integer,
    "REAL": _real,
    "STRING": _string,
    "SUBSTR": _substr,
}
#: Those that take a format, whose blanks count.
FORMATTED = (_int, _real, _string)
