"""HTCondor's two syntaxes for arguments and environments.

V2, with double quotes around it all: words separated by blanks, ``'...'``
groups with ``''`` for a quote, ``""`` for a double quote. V1, without: see
``split_arguments_v1`` and ``environment_v1``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

#: What an environment in V1 syntax may begin with to say what stands between its entries.
_DELIMITERS = "!#$%&*+,-/:;<>?@^`|~\x1f"


class QuotingError(Exception):
    """A text is not in the syntax; the message is HTCondor's."""


def is_v2(text: str) -> bool:
    """Return whether the text is in V2 syntax."""
    return text.lstrip().startswith('"')


def unwrap_v2(text: str) -> str:
    """Return what is between the outer double quotes, with ``""`` read as ``"``."""
    text = text.strip()
    pieces, position = [], 1
    while True:
        end = text.find('"', position)
        if end < 0:
            raise QuotingError("Unterminated double-quote.")
        pieces.append(text[position:end])
        if text[end + 1 : end + 2] != '"':
            break
        pieces.append('"')
        position = end + 2
    if text[end + 1 :].strip():
        raise QuotingError(
            "Unexpected characters following double-quote.  Did you forget to escape the "
            "double-quote by repeating it?  Here is the quote and trailing characters: "
            f"{text[end:]}\n"
        )
    return "".join(pieces)


def strip_quotes(text: str) -> str:
    """Return the text without double quotes around it all."""
    return text[1:-1] if text.startswith('"') and text.endswith('"') else text


def split_v2(text: str) -> list[str]:
    """Return the words of V2 text without its outer double quotes."""
    words: list[str] = []
    word: list[str] | None = None
    position = 0
    while position < len(text):
        character = text[position]
        if character == "'":
            group, position = _read_group(text, position)
            word = [*(word or ()), group]
        elif character.isspace():
            if word is not None:
                words.append("".join(word))
            word, position = None, position + 1
        else:
            end = position
            while end < len(text) and text[end] != "'" and not text[end].isspace():
                end += 1
            word = [*(word or ()), text[position:end]]
            position = end
    if word is not None:
        words.append("".join(word))
    return words


def _read_group(text: str, start: int) -> tuple[str, int]:
    """Return the group that opens at ``start``, and the position after it."""
    pieces, position = [], start + 1
    while True:
        end = text.find("'", position)
        if end < 0:
            raise QuotingError(f"Unbalanced quote starting here: {text[start:]}")
        pieces.append(text[position:end])
        if text[end + 1 : end + 2] != "'":
            return "".join(pieces), end + 1
        pieces.append("'")
        position = end + 2


def join_v2(words: Iterable[str]) -> str:
    """Return V2 text without outer quotes; as HTCondor, quote only blanks and quotes."""
    return " ".join(_quote_word(word) for word in words)


def _quote_word(word: str) -> str:
    if word == "":
        return "''"
    quoted = ""
    for group in re.split(r"([\s']+)", word):
        if group and (group[0].isspace() or group[0] == "'"):
            group = "'" + group.replace("'", "''") + "'"
        quoted += group
    return quoted


def split_arguments_v1(text: str) -> list[str]:
    r"""Return the words between blanks; ``\"`` is a double quote, a bare one an error."""
    words = []
    for raw in text.split():
        word = raw.replace('\\"', "\0")
        if '"' in word:
            bad = text.replace('\\"', "\0\0")
            raise QuotingError(
                f"Found illegal unescaped double-quote: {text[bad.index(chr(34)) :]}"
            )
        words.append(word.replace("\0", '"'))
    return words


def parse_environment_v1(text: str) -> dict[str, str]:
    """Parse entries between ``;``, or what the text begins with instead."""
    delimiter = ";"
    if text and text[0] in _DELIMITERS:
        delimiter, text = text[0], text[1:]
    entries = (entry.lstrip() for entry in text.replace("\n", delimiter).split(delimiter))
    return _parse_assignments(entry for entry in entries if entry)


def parse_environment_v2(text: str) -> dict[str, str]:
    """Parse V2 text without its outer double quotes."""
    return _parse_assignments(split_v2(text))


def _parse_assignments(entries: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not equals:
            raise QuotingError(f"ERROR: Missing '=' after environment variable '{entry}'.")
        if not name:
            raise QuotingError(f"ERROR: missing variable in '{entry}'.")
        found[name] = value
    return found


def join_environment(variables: Mapping[str, str]) -> str:
    """Return the V2 text of an environment, sorted as HTCondor does."""
    pieces = []
    for name in sorted(variables):
        value = variables[name]
        pieces.append(f"{_quote_word(name)}={_quote_word(value) if value else ''}")
    return " ".join(pieces)
