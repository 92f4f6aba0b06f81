"""Read a condor command's line of arguments as HTCondor does, and end early on a wrong one.

HTCondor's way: one dash takes any prefix that is long enough, two dashes only the full name;
the first option of the table that fits wins, so that the table's order and its least lengths
settle what a short spelling means.

Clients read exit code 1 as "cannot tell" and 0 with no output as "no such job", so a command
line that is not understood never ends with 0.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, ParamSpec

from commandline.parser import find_nearest
from vobox.classad.ad import ParseError, read_old_syntax
from vobox.classad.expressions import is_expression
from vobox.client.version import VERSION_TEXT
from vobox.rpc.types import Answer

P = ParamSpec("P")

# Python makes no number of some thousand digits
_MOST_DIGITS = 4000
_INTEGER = re.compile(r"[-+]?[0-9]+")

#: ``values`` of an option that takes every word up to the next one with a dash.
GREEDY: Final = -1


class EarlyExit(Exception):
    """The answer is known before any job was looked at: an error, ``-help`` or ``-version``."""

    def __init__(self, stderr: str = "", stdout: str = "", code: int = 1) -> None:
        super().__init__(stderr or stdout)
        self.answer = Answer(stdout, stderr, code)


def answers_early(command: Callable[P, Answer]) -> Callable[P, Answer]:
    """Let the EarlyExit that ends a command be its answer."""

    @functools.wraps(command)
    def answer(*args: P.args, **kwargs: P.kwargs) -> Answer:
        try:
            return command(*args, **kwargs)
        except EarlyExit as early:
            return early.answer

    return answer


@dataclass(frozen=True)
class Option:
    """One option of a command."""

    name: str
    least: int  #: characters after one dash that are enough
    values: int = 0  #: words that it takes, or GREEDY (at least one)
    modifiers: bool = False  #: may carry ``:letters``
    missing: str = ""  #: what is said when its words are missing
    ignored: bool = False  #: changes nothing that we print
    refused: str = ""  #: why we cannot do it; an option that we do not know at all is unknown

    def matches(self, word: str) -> bool:
        """Return whether the word spells this option."""
        body = word[1:]
        if self.modifiers:
            body = body.partition(":")[0]
        if body.startswith("-"):
            return body[1:] == self.name
        return len(body) >= self.least and self.name.startswith(body)


class Flag(NamedTuple):
    """An option as it was given."""

    option: Option
    spelled: str  #: as given, e.g. ``-af:j``
    values: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The option's full name."""
        return self.option.name

    @property
    def value(self) -> str:
        """The first of its words; "" where it takes none."""
        return self.values[0] if self.values else ""

    @property
    def letters(self) -> str:
        """The modifiers after the colon."""
        return self.spelled.partition(":")[2]


class Word(NamedTuple):
    """A word that is no option."""

    text: str


@dataclass(frozen=True)
class CommandLine:
    """The options of one command, and what it says of a wrong one.

    In the texts ``{option}`` is the option as spelled, ``{name}`` its full name, ``{usage}`` the
    usage, and ``{why}`` what the option itself says.
    """

    options: Sequence[Option]
    usage: str
    unknown: str
    missing: str = "Error: {why}\n"
    refused: str = "Error: {option} is not supported here: {why}\n"
    help_on_stderr: bool = False
    help_code: int = 0  #: exit code of -help
    unknown_usage_on_stdout: bool = False
    empty_words: bool = False  #: whether an empty word means something (DIRAC passes one)

    def parse(self, argv: Sequence[str]) -> Iterator[Flag | Word]:
        """Read the words in order.

        :raises EarlyExit: for ``-help`` and ``-version``, and for an option that is unknown,
            refused, or lacks its words
        """
        rest = sanitize_argv(argv)
        while rest:
            spelled = rest.pop(0)
            if not spelled.startswith("-"):
                if spelled or self.empty_words:
                    yield Word(spelled)
                continue
            option = next((option for option in self.options if option.matches(spelled)), None)
            if option is None:
                text = self._format(self.unknown, spelled)
                word = spelled.lstrip("-").partition(":")[0]
                near = find_nearest(word, (known.name for known in self.options))
                text += f"Did you mean -{near}?\n" if near not in ("", word) else ""
                stdout = self.usage if self.unknown_usage_on_stdout else ""
                raise EarlyExit(text, stdout=stdout)
            count = option.values
            if count == GREEDY:
                count = next((i for i, word in enumerate(rest) if word.startswith("-")), len(rest))
            if len(rest) < count or (option.values == GREEDY and count == 0):
                why = option.missing.format(spelled)
                raise EarlyExit(self._format(self.missing, spelled, option.name, why))
            values, rest = rest[:count], rest[count:]
            if option.values == GREEDY and rest[:1] == ["-"]:
                rest.pop(0)  # a lone dash ends the list and means nothing else
            if option.refused:
                raise EarlyExit(self._format(self.refused, spelled, option.name, option.refused))
            if option.name == "version":
                raise EarlyExit(stdout=VERSION_TEXT, code=0)
            if option.name == "help" and self.help_on_stderr:
                raise EarlyExit(self.usage, code=self.help_code)
            if option.name == "help":
                raise EarlyExit(stdout=self.usage, code=0)
            yield Flag(option, spelled, tuple(values))

    def _format(self, text: str, option: str, name: str = "", why: str = "") -> str:
        return text.format(option=option, name=name, why=why, usage=self.usage)


def sanitize_argv(argv: Sequence[str]) -> list[str]:
    """Spell out every byte that is not UTF-8: no job has such a name."""
    return [word.encode("utf-8", "backslashreplace").decode() for word in argv]


def parse_leading_integer(text: str) -> tuple[int, str]:
    """Return the number that a text begins with, as C's strtol in an int; and what follows it."""
    rest = text.lstrip(" \t\n\v\f\r")
    found = _INTEGER.match(rest)
    if found is None:
        return 0, text
    number = min(max(int(found[0][:_MOST_DIGITS]), -(2**63)), 2**63 - 1)
    return (number + 2**31) % 2**32 - 2**31, rest[found.end() :]


def check_expression(text: str, error: str) -> str:
    """Return an expression as typed in the new ClassAd syntax, if it can be parsed.

    :param error: the text for stderr if it cannot
    :raises EarlyExit: if it cannot
    """
    with contextlib.suppress(ParseError):
        expression = read_old_syntax(text)
        if is_expression(expression):
            return expression
    raise EarlyExit(error)
