"""The errors of condor_submit, worded and spaced as HTCondor prints them."""

from __future__ import annotations


class SubmitError(Exception):
    """condor_submit ends with exit code 1.

    ``stderr``: the whole text that it prints; ``reason``: that without what every error begins
    with; ``line``: the number of the wrong line, 0 for none.
    """

    def __init__(self, stderr: str, reason: str | None = None, line: int = 0) -> None:
        super().__init__(stderr.strip())
        self.stderr = stderr
        self.reason = stderr.strip().removeprefix("ERROR: ") if reason is None else reason
        self.line = line


def job_error(text: str) -> SubmitError:
    """Return the error of a value that makes no job ad: without an empty line before it."""
    return SubmitError(f"ERROR: {text}\n")


def submit_error(text: str) -> SubmitError:
    """Return any other error: a missing file, a setting that is not supported."""
    return SubmitError(f"\nERROR: {text}\n")


def line_error(line: int, source: str, text: str = "") -> SubmitError:
    """Return the error of line ``line`` (counted from 1) of ``source``."""
    stderr = (
        f"\nERROR: on Line {line} of {source}: {text}\n"
        f"\nERROR: Failed to parse command file (line {line}).\n"
    )
    return SubmitError(stderr, text, line)


def dag_error(line: int, source: str) -> SubmitError:
    """Return the error of a line of a DAGMan file."""
    return SubmitError(
        f"\nERROR: on Line {line} of {source}: \n"
        "\nERROR: A DAG file was provided. Please provide a submit file or use condor_submit_dag.\n"
    )


def include_error(source: str, depth: int, error: SubmitError) -> SubmitError:
    """Return the error of the line that includes ``source``, of what is wrong there.

    ``depth``: 1 if the description itself includes it.
    """
    where = f'Submit:-1:Error "{source}", Line {error.line}, Include Depth {depth}'
    text = f"\n{where}: {error.reason}"
    return SubmitError(text, text)


def append_error(number: int, text: str) -> SubmitError:
    """Return the error of the ``number``-th ``-append`` line (from 1)."""
    return SubmitError(f"\nERROR: {text}\n\nERROR: Failed to parse -a argument line (#{number}).\n")


def expression_error(attribute: str, text: str) -> SubmitError:
    """Return the error of a text that is not an expression."""
    return job_error(f"Parse error in expression: \n\t{attribute} = {text}\n\t")


def type_error(kind: str, command: str, value: str) -> SubmitError:
    """Return the error of a value that is not ``kind``, e.g. "an integer"."""
    return job_error(f"{command}={value} is invalid, must eval to {kind}.")
