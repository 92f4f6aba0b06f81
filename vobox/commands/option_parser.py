"""HTCondor's way of reading a command line.

One dash takes any prefix that is long enough, two dashes only the full name;
the first option of the table that fits wins, so that the table's order and
its least lengths settle what a short spelling means.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

#: ``values`` of an option that takes every word up to the next one with a dash.
GREEDY: Final = -1


@dataclass(frozen=True)
class Option:
    name: str
    least: int  #: characters after one dash that are enough
    values: int = 0  #: words that it takes, or GREEDY (at least one)
    modifiers: bool = False  #: may carry ``:letters``
    missing: str = ""  #: what is said when its words are missing
    ignored: bool = False  #: changes nothing that we print
    refused: str = ""  #: why we cannot do it; an option that we do not know at all is unknown

    def matches(self, word: str) -> bool:
        body = word[1:]
        if self.modifiers:
            body = body.partition(":")[0]
        if body.startswith("-"):
            return body[1:] == self.name
        return len(body) >= self.least and self.name.startswith(body)


class Flag(NamedTuple):
    option: Option
    spelled: str  #: as given, e.g. ``-af:j``
    values: tuple[str, ...] = ()

    @property
    def letters(self) -> str:
        return self.spelled.partition(":")[2]


class Word(NamedTuple):
    text: str


class UnknownOption(Exception):
    def __init__(self, spelled: str) -> None:
        super().__init__(spelled)
        self.spelled = spelled


class MissingValue(Exception):
    def __init__(self, flag: Flag) -> None:
        super().__init__(flag.spelled)
        self.flag = flag


def parse_arguments(argv: Sequence[str], options: Sequence[Option]) -> Iterator[Flag | Word]:
    """The words of a command line in order; raises UnknownOption and MissingValue."""
    rest = list(argv)
    while rest:
        spelled = rest.pop(0)
        if not spelled.startswith("-"):
            yield Word(spelled)
            continue
        option = next((option for option in options if option.matches(spelled)), None)
        if option is None:
            raise UnknownOption(spelled)
        flag = Flag(option, spelled)
        count = option.values
        if count == GREEDY:
            count = next((i for i, word in enumerate(rest) if word.startswith("-")), len(rest))
        if len(rest) < count or (option.values == GREEDY and count == 0):
            raise MissingValue(flag)
        values, rest = rest[:count], rest[count:]
        if option.values == GREEDY and rest[:1] == ["-"]:
            rest.pop(0)  # a lone dash ends the list and means nothing else
        yield flag._replace(values=tuple(values))
