"""How a description is refused: the text for stderr, as condor_submit words and spaces it."""

from __future__ import annotations


class Refusal(Exception):
    """condor_submit ends with exit code 1; ``stderr`` is the whole text that it prints."""

    def __init__(self, stderr: str) -> None:
        super().__init__(stderr.strip())
        self.stderr = stderr


def bad_job(text: str) -> Refusal:
    """A command's value makes no job ad; HTCondor prints these without a blank line before."""
    return Refusal(f"ERROR: {text}\n")


def refused(text: str) -> Refusal:
    """Anything else: a file that is not there, a setting that cannot be honoured."""
    return Refusal(f"\nERROR: {text}\n")


def bad_line(line: int, source: str, text: str = "") -> Refusal:
    """The description cannot be read at ``line`` (counted from 1) of ``source``."""
    return Refusal(
        f"\nERROR: on Line {line} of {source}: {text}\n"
        f"\nERROR: Failed to parse command file (line {line}).\n"
    )


def bad_append(number: int, text: str) -> Refusal:
    """The ``number``-th ``-append`` line (from 1) cannot be read."""
    return Refusal(f"\nERROR: {text}\n\nERROR: Failed to parse -a argument line (#{number}).\n")


def bad_expression(attribute: str, text: str) -> Refusal:
    return bad_job(f"Parse error in expression: \n\t{attribute} = {text}\n\t")


def not_a(kind: str, command: str, value: str) -> Refusal:
    """``kind``: e.g. "an integer"."""
    return bad_job(f"{command}={value} is invalid, must eval to {kind}.")
