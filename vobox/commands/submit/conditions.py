"""``if``, ``elif``, ``else`` and ``endif`` of a description."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from vobox.client.version import NUMBER

from .errors import job_error
from .macros import Expander

_VERSION = re.compile(r"version\s*(>=|<=|==|!=|>|<)\s*(\d+(?:\.\d+)+)\Z", re.IGNORECASE)
_NO_VERSION = re.compile(r"version(\s*[<>=!]+\s*[\d.]+)?\Z", re.IGNORECASE)
_DEFINED = re.compile(r"defined\s+([\w.]+)\Z", re.IGNORECASE)
_COMPLEX = "complex conditionals are not supported"
_TRUTH = {"true": True, "yes": True, "t": True, "false": False, "no": False, "f": False}


@dataclass
class _IfBlock:
    outer_active: bool  #: whether the lines around it count
    branch_taken: bool  #: whether one of its branches counted
    active: bool
    after_else: bool = False  #: after its else


class IfBlocks:
    """The open if blocks; ``active`` says whether the present line counts."""

    def __init__(self, expander: Expander, is_defined: Callable[[str], bool]) -> None:
        self._expander = expander
        self._is_defined = is_defined
        self._blocks: list[_IfBlock] = []

    @property
    def depth(self) -> int:
        """How many blocks are open."""
        return len(self._blocks)

    @property
    def active(self) -> bool:
        """Whether the present line counts."""
        return not self._blocks or self._blocks[-1].active

    def handle_keyword(self, word: str, condition: str) -> None:
        """Open, continue or close a block; ``word`` in lower case. Raises SubmitError."""
        if word == "if":
            active = self.active and self._is_true(word, condition)
            self._blocks.append(_IfBlock(self.active, active, active))
            return
        if not self._blocks:
            raise job_error(f"{word} without matching if")
        block = self._blocks[-1]
        if word == "endif":
            self._blocks.pop()
        elif block.after_else:
            raise job_error(f"{word} is not allowed after else")
        elif word == "else":
            block.active, block.after_else = block.outer_active and not block.branch_taken, True
        else:
            tried = block.outer_active and not block.branch_taken
            block.active = tried and self._is_true(word, condition)
            block.branch_taken = block.branch_taken or block.active

    def _is_true(self, word: str, condition: str) -> bool:
        text = self._expander.expand(condition).strip()
        if negated := re.match(r"!\s*|not\s+", text, re.IGNORECASE):
            rest = text[negated.end() :]
            is_nothing = not rest and "$" in condition  # what expands to nothing
            return is_nothing or not self._is_true(word, rest)
        if (not text and condition.strip()) or text.lower() == "defined":
            return False  # what expands to nothing
        if found := _DEFINED.match(text):
            name = found[1]
            return _is_number(name) or name.lower() in _TRUTH or self._is_defined(name)
        if found := _VERSION.match(text):
            return _compare_version(found[1], found[2])
        if text.lower() in _TRUTH:
            return _TRUTH[text.lower()]
        if _is_number(text):
            return float(text) != 0
        is_word = re.fullmatch(r"[\w./]*", text) is not None
        why = "expression is not a conditional" if is_word else _COMPLEX
        if _NO_VERSION.match(text):
            why = "the version literal is invalid"
        raise job_error(f"{condition} is not a valid {word} condition because {why}")


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", text, re.ASCII) is not None


def _compare_version(operator: str, wanted: str) -> bool:
    numbers = tuple(int(part[:18]) for part in wanted.split("."))
    ours = tuple(int(part) for part in NUMBER.split("."))[: len(numbers)]
    return {
        ">=": ours >= numbers,
        "<=": ours <= numbers,
        "==": ours == numbers,
        "!=": ours != numbers,
        ">": ours > numbers,
        "<": ours < numbers,
    }[operator]
