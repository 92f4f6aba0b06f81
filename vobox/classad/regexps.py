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
_LIMIT: Final = f"(*LIMIT_MATCH={MAX_STEPS})(?:)"
#: Functions whose first argument is a pattern.
_FUNCTIONS: Final = "regexps?|replace(?:all)?|regexpmember|stringlist_regexpmember"
_MAY_CALL: Final = re.compile("reg|repl|eval|'", re.IGNORECASE)
_COMMENT: Final = r"/\*.*?\*/|//[^\n]*"
_NOTHING: Final = re.compile(rf"(?:\s|{_COMMENT})*", re.DOTALL)
_TOKEN: Final = re.compile(
    rf"""
      "(?:[^"\\]|\\.)*" | {_COMMENT}
    | '(?P<quoted>(?:[^'\\]|\\.)*)' (?P<called>(?:\s|{_COMMENT})* \()?
    | \b(?:(?P<call>{_FUNCTIONS})|(?P<eval>eval)) (?:\s|{_COMMENT})* \(
    | (?P<open>[(\[{{]) | (?P<close>[)\]}}]) | (?P<comma>,)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_LIMITED_NAME: Final = re.compile(rf"(?:{_FUNCTIONS}|eval)\Z", re.IGNORECASE)
#: What is put around a pattern: ``substr``, as one that is no string is an error; and around the
#: text of ``eval``: as no limit can be put into a text that is not known yet, the functions there
#: get names that nobody has, which is an error.
_AROUND_PATTERN: Final = (f'strcat("{_LIMIT}",substr(', ",0))")
_AROUND_EVAL: Final = (
    rf'replaceall("{_LIMIT}(?i)(\\b(?:eval|{_FUNCTIONS})|\')(?=\\s*[(/])",strcat(',
    r'),"\\1_")',
)


def limit_regexps(expression: str) -> str:
    """Return an expression of the new ClassAd syntax whose patterns have a limit."""
    if _MAY_CALL.search(expression) is None:
        return expression
    inserted: list[tuple[int, str]] = []
    #: of each bracket that is open: where the first argument of such a function begins and what
    #: is put around it, else None
    arguments: list[tuple[int, tuple[str, str]] | None] = []
    for token in _TOKEN.finditer(expression):
        if token["call"]:
            arguments.append((token.end(), _AROUND_PATTERN))
        elif token["eval"]:
            arguments.append((token.end(), _AROUND_EVAL))
        elif token["called"]:  # nobody writes a function's name so but to hide it
            if "\\" in token["quoted"] or _LIMITED_NAME.match(token["quoted"]):
                inserted.append((token.end("quoted"), "_"))
            arguments.append(None)
        elif token["open"]:
            arguments.append(None)
        elif arguments and (token["comma"] or token["close"]):
            argument = arguments[-1]
            if argument is not None:
                begin, (before, after) = argument
                if _NOTHING.fullmatch(expression, begin, token.start()) is None:
                    inserted += [(begin, before), (token.start(), after)]
            arguments[-1] = None
            if token["close"]:
                arguments.pop()
    pieces, copied = [], 0
    for place, text in sorted(inserted):
        pieces += [expression[copied:place], text]
        copied = place
    return "".join([*pieces, expression[copied:]])
