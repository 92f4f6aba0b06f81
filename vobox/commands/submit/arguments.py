"""The commands about the job's arguments."""

from __future__ import annotations

from collections.abc import Sequence

from vobox.classad.ad import Ad, quote

from .errors import job_error
from .expressions import evaluate_boolean
from .job_commands import Commands
from .macros import fill_machine_defaults
from .quoting import QuotingError, is_v2, join_v2, split_arguments_v1, split_v2, unwrap_v2


def record_arguments(commands: Commands, ad: Ad) -> tuple[str, ...]:
    """Record the arguments; return them as the job gets them. Raises SubmitError."""
    words, old = _read_words(commands)
    if old:
        ad["Args"] = quote(" ".join(words))
    else:
        ad["Arguments"] = quote(join_v2(words))
    return tuple(fill_machine_defaults("arguments", word, by_pilot=True) for word in words)


def check_one_syntax(commands: Commands, name: str, new: str | None, old: str | None) -> None:
    """Raise SubmitError if a value is given in both syntaxes, and the description allows no two.

    ``name``: arguments or environment; ``new``, ``old``: the values given.
    """
    switch = f"allow_{name}_v1"
    allowed = commands.get(switch)
    if (allowed is None or not evaluate_boolean(switch, allowed)) and new and old:
        raise job_error(
            f"If you wish to specify both '{name}' and\n'{name}2' for maximal compatibility with "
            f"different\nversions of Condor, then you must also specify\n{switch}=true."
        )


def _read_words(commands: Commands) -> tuple[Sequence[str], bool]:
    """Return the words, and whether they are in V1 syntax: the ad then has Args."""
    if shell := commands.get("shell"):
        return ("-c", shell), False
    v2_only, old = commands.get("arguments2"), commands.get("arguments", "args")
    check_one_syntax(commands, "arguments", v2_only, old)
    text = v2_only or old
    if text is None:
        return (), False
    if v2_only is not None and not is_v2(v2_only):
        problem = "Expecting double-quoted input string (V2 format)."
        raise job_error(f"{problem}\nThe full arguments you specified were: {text}")
    try:
        if is_v2(text):
            return split_v2(unwrap_v2(text)), False
        return split_arguments_v1(text), True
    except QuotingError as error:
        raise job_error(f"{error}\nThe full arguments you specified were: {text}") from None
