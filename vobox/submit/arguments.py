"""The job's arguments."""

from __future__ import annotations

from dataclasses import dataclass

from ..ads import Ad, quote
from .commands import Commands
from .errors import bad_job
from .quoting import QuotingError, is_v2, join_v2, split_arguments_v1, split_v2, unwrap_v2


@dataclass(frozen=True)
class Arguments:
    words: tuple[str, ...]
    old: bool = False  #: given in V1 syntax: the ad has Args instead of Arguments

    def record(self, ad: Ad) -> None:
        if self.old:
            ad["Args"] = quote(" ".join(self.words))
        else:
            ad["Arguments"] = quote(join_v2(self.words))


def arguments(commands: Commands) -> Arguments:
    """Raises Refusal where the quoting is wrong."""
    if shell := commands.get("shell"):
        return Arguments(("-c", shell))
    v2_only = commands.get("arguments2")
    text = v2_only or commands.get("arguments", "args")
    if text is None:
        return Arguments(())
    if v2_only is not None and not is_v2(v2_only):
        problem = "Expecting double-quoted input string (V2 format)."
        raise bad_job(f"{problem}\nThe full arguments you specified were: {text}")
    try:
        if is_v2(text):
            return Arguments(tuple(split_v2(unwrap_v2(text))))
        return Arguments(tuple(split_arguments_v1(text)), old=True)
    except QuotingError as error:
        raise bad_job(f"{error}\nThe full arguments you specified were: {text}") from None
