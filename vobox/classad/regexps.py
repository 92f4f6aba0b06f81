"""Bound what a regular expression in a ClassAd expression may cost.

The library gives up a match after ten million steps, a tenth of a second in which nothing else of
this process runs; a policy is evaluated for each job that ends. PCRE takes a lower limit
at the start of a pattern, and of several the lowest. A match that gives up is an error, as before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

#: Steps of one match: a millisecond. An ordinary pattern on a text of some KiB takes some thousand.
MAX_STEPS: Final = 100_000
#: The empty group ends the items at the start of the pattern: another limit there would count.
_LIMIT: Final = f"(*LIMIT_MATCH={MAX_STEPS})(?:)"
#: Functions whose first argument is a pattern.
_FUNCTIONS: Final = "regexps?|replace(?:all)?|regexpmember|stringlist_regexpmember"
_EACH: Final = "countmatches|evalineachcontext"
_MAY_CALL: Final = re.compile("reg|repl|eval|countm|'", re.IGNORECASE)
_COMMENT: Final = r"/\*.*?\*/|//[^\n]*"
_NOTHING: Final = re.compile(rf"(?:\s|{_COMMENT})*", re.DOTALL)
_TOKEN: Final = re.compile(
    rf"""
      "(?:[^"\\]|\\.)*" | {_COMMENT}
    | '(?P<quoted>(?:[^'\\]|\\.)*)' (?P<called>(?:\s|{_COMMENT})* \()?
    | \b(?:(?P<call>{_FUNCTIONS})|(?P<eval>eval)|(?P<each>{_EACH})) (?:\s|{_COMMENT})* \(
    | (?P<open>[(\[{{]) | (?P<close>[)\]}}]) | (?P<comma>,)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_LIMITED_NAME: Final = re.compile(rf"(?:{_FUNCTIONS}|{_EACH}|eval)\Z", re.IGNORECASE)
#: A member of what may be a function's value, which is no more there; or a comment.
_MEMBER: Final = re.compile(
    r"(?:(?<![\w.])(?!(?:my|target)\s*\.)[a-z_]\w*|[\])}'])\s*\.|/[*/]", re.IGNORECASE
)
#: What is put around a pattern: ``substr``, as one that is no string is an error; and around the
#: text of ``eval``: as no limit can be put into a text that is not known yet, the functions there
#: get names that nobody has, which is an error.
_AROUND_PATTERN: Final = (f'strcat("{_LIMIT}",substr(', ",0))")
_AROUND_EVAL: Final = (
    rf'replaceall("{_LIMIT}(?i)(\\b(?:eval|{_EACH}|{_FUNCTIONS})|\')(?=\\s*[(/])",strcat(',
    r'),"\\1_")',
)


@dataclass
class _EachCall:
    """A call of ``countMatches`` or ``evalInEachContext`` that is being read."""

    depth: int  #: brackets that are open within it
    begin: int  #: of the argument that is being read
    name_end: int
    arguments: int = 0  #: read so far
    list_end: int = 0  #: of a written list with which the argument begins; -1: not yet read
    is_safe: bool = True

    def begin_list(self, expression: str, start: int) -> None:
        """Begin a list, where the argument begins."""
        if not expression[self.begin : start].strip():
            self.list_end = -1

    def end_list(self, end: int) -> None:
        """End a list, or what stands in other brackets."""
        if self.list_end == -1:
            self.list_end = end

    def end_argument(self, expression: str, end: int) -> None:
        """End an argument, at a comma or at the last bracket."""
        argument = expression[self.begin : end]
        if self.arguments == 0:
            self.is_safe = _MEMBER.search(argument) is None
        elif self.list_end == 0 or expression[self.list_end : end].strip():
            self.is_safe = False
        self.arguments, self.begin, self.list_end = self.arguments + 1, end + 1, 0


def limit_regexps(expression: str, *, in_attribute: bool = False) -> str:
    """Return an expression of the new ClassAd syntax whose patterns have a limit.

    ``in_attribute``: it is an attribute's, which expressions can name.
    """
    if _MAY_CALL.search(expression) is None:
        return expression
    inserted: list[tuple[int, str]] = []
    #: of each bracket that is open: where the first argument of such a function begins and what
    #: is put around it, else None
    arguments: list[tuple[int, tuple[str, str]] | None] = []
    calls: list[_EachCall] = []
    for token in _TOKEN.finditer(expression):
        if token["call"]:
            arguments.append((token.end(), _AROUND_PATTERN))
        elif token["eval"]:
            arguments.append((token.end(), _AROUND_EVAL))
        elif token["each"]:
            arguments.append(None)
            calls.append(_EachCall(len(arguments), token.end(), token.end("each")))
        elif token["called"]:  # nobody writes a function's name so but to hide it
            if "\\" in token["quoted"] or _LIMITED_NAME.match(token["quoted"]):
                inserted.append((token.end("quoted"), "_"))
            arguments.append(None)
        elif token["open"]:
            arguments.append(None)
            if calls and token["open"] == "{" and len(arguments) == calls[-1].depth + 1:
                calls[-1].begin_list(expression, token.start())
        elif arguments and (token["comma"] or token["close"]):
            argument = arguments[-1]
            if argument is not None:
                begin, (before, after) = argument
                if _NOTHING.fullmatch(expression, begin, token.start()) is None:
                    inserted += [(begin, before), (token.start(), after)]
            arguments[-1] = None
            if calls and len(arguments) == calls[-1].depth:
                calls[-1].end_argument(expression, token.start())
            if token["close"]:
                arguments.pop()
                if calls and len(arguments) == calls[-1].depth:
                    calls[-1].end_list(token.end())
                elif calls and len(arguments) < calls[-1].depth:
                    call = calls.pop()
                    if in_attribute or not call.is_safe or call.arguments != 2:
                        inserted.append((call.name_end, "_"))
    pieces, copied = [], 0
    for place, text in sorted(inserted):
        pieces += [expression[copied:place], text]
        copied = place
    return "".join([*pieces, expression[copied:]])
