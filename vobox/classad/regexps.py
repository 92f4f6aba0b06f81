"""Bound what a regular expression in a ClassAd expression may cost.

The library gives up a match after ten million steps, a tenth of a second in which nothing else of
this process runs; a policy is evaluated for each job that ends. PCRE takes a lower limit
at the start of a pattern, and of several the lowest. A match that gives up is an error, as before.
"""

from __future__ import annotations

import re
from typing import Final

#: Steps of one match: a millisecond. An ordinary pattern on a text of some KiB takes some thousand.
MAX_STEPS: Final = 100_000
#: The empty group ends the items at the start of the pattern: another limit there would count.
_LIMIT: Final = f'strcat("(*LIMIT_MATCH={MAX_STEPS})(?:)",'
#: Functions whose first argument is a pattern.
_FUNCTIONS: Final = "regexps?|replace(?:all)?|regexpmember|stringlist_regexpmember"
_MAY_CALL: Final = re.compile("reg|repl", re.IGNORECASE)
_COMMENT: Final = r"/\*.*?\*/|//[^\n]*"
_NOTHING: Final = re.compile(rf"(?:\s|{_COMMENT})*", re.DOTALL)
_TOKEN: Final = re.compile(
    rf"""
      "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | {_COMMENT}
    | \b(?P<call>{_FUNCTIONS}) (?:\s|{_COMMENT})* \(
    | (?P<open>[(\[{{]) | (?P<close>[)\]}}]) | (?P<comma>,)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


def limit_regexps(expression: str) -> str:
    """Return an expression of the new ClassAd syntax whose patterns have a limit."""
    if _MAY_CALL.search(expression) is None:
        return expression
    inserted: list[tuple[int, str]] = []
    #: of each bracket that is open: where the first argument of such a function begins, else None
    patterns: list[int | None] = []
    for token in _TOKEN.finditer(expression):
        if token["call"]:
            patterns.append(token.end())
        elif token["open"]:
            patterns.append(None)
        elif patterns and (token["comma"] or token["close"]):
            begin = patterns[-1]
            if begin is not None and _NOTHING.fullmatch(expression, begin, token.start()) is None:
                inserted += [(begin, _LIMIT), (token.start(), ")")]
            patterns[-1] = None
            if token["close"]:
                patterns.pop()
    pieces, copied = [], 0
    for place, text in sorted(inserted):
        pieces += [expression[copied:place], text]
        copied = place
    return "".join([*pieces, expression[copied:]])
