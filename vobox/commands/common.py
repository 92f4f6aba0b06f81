"""What condor_q, condor_history and condor_status have in common."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from vobox.classad.expressions import is_expression
from vobox.rpc.types import Answer, QueueView

from .errors import Ended, refused

# 18 digits: more than there will ever be jobs, and few enough to count to.
_NUMBER = re.compile(r"[-+]?\d{1,18}\Z", re.ASCII)


def cleaned(argv: Sequence[str]) -> list[str]:
    """The words with every byte that is not UTF-8 spelled out: no job has such a name."""
    return [word.encode("utf-8", "backslashreplace").decode() for word in argv]


#: Characters of stdout that are made before they are sent.
_PIECE = 1 << 16


def answered(text: Iterable[str], stderr: str = "", code: int = 0) -> Answer:
    """The answer with this stdout: all of it if it is short, else the rest as it is made."""
    pieces = _pieces(text)
    first = next(pieces, "")
    second = next(pieces, None)
    if second is None:
        return Answer(first, stderr, code)
    return Answer(
        first, stderr, code, (Answer(each, code=code) for each in chain([second], pieces))
    )


def _pieces(text: Iterable[str]) -> Iterator[str]:
    piece: list[str] = []
    size = 0
    for each in text:
        piece.append(each)
        size += len(each)
        if size >= _PIECE:
            yield "".join(piece)
            piece, size = [], 0
    if piece:
        yield "".join(piece)


def ended(early: Ended) -> Answer:
    return Answer(early.stdout, early.stderr, early.code)


def warning(command: str, view: QueueView) -> str:
    """The line on stderr for an answer that may be out of date; "" for one that is not."""
    trouble = " ".join(view.trouble().split())
    if not trouble:
        return ""
    return f"{command}: warning: answered from the ledger, which may be out of date: {trouble}\n"


def checked_constraint(text: str, message: str) -> str:
    """A constraint that can be parsed; raises Ended with the message otherwise."""
    if not is_expression(text):
        raise refused(message)
    return text


def positive(text: str, option: str) -> int:
    """The number of ``-limit N``; raises Ended with HTCondor's words."""
    if _NUMBER.match(text) is None:
        raise refused(f"Unable to convert ({text}) to a number for {option}.")
    number = int(text)
    if number <= 0:
        raise refused(f"{number} is not a valid for {option}.")
    return number
