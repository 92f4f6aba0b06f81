"""How a description is refused: the text for stderr, as condor_submit words and spaces it."""

from __future__ import annotations


class SubmitError(Exception):
    """condor_submit ends with exit code 1; ``stderr`` is the whole text that it prints."""

    def __init__(self, stderr: str) -> None:
        super().__init__(stderr.strip())
        self.stderr = stderr


def job_error(text: str) -> SubmitError:
    """A command's value makes no job ad; HTCondor prints these without a blank line before."""
    return SubmitError(f"ERROR: {text}\n")


def submit_error(text: str) -> SubmitError:
    """Anything else: a file that is not there, a setting that cannot be honoured."""
    return SubmitError(f"\nERROR: {text}\n")


def line_error(line: int, source: str, text: str = "") -> SubmitError:
    """The description cannot be read at ``line`` (counted from 1) of ``source``."""
    return SubmitError(
        f"\nERROR: on Line {line} of {source}: {text}\n"
        f"\nERROR: Failed to parse command file (line {line}).\n"
    )


def append_error(number: int, text: str) -> SubmitError:
    """The ``number``-th ``-append`` line (from 1) cannot be read."""
    return SubmitError(f"\nERROR: {text}\n\nERROR: Failed to parse -a argument line (#{number}).\n")


def expression_error(attribute: str, text: str) -> SubmitError:
    return job_error(f"Parse error in expression: \n\t{attribute} = {text}\n\t")


def type_error(kind: str, command: str, value: str) -> SubmitError:
    """``kind``: e.g. "an integer"."""
    return job_error(f"{command}={value} is invalid, must eval to {kind}.")
