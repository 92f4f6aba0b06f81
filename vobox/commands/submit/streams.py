"""The commands about stdin, stdout, stderr and the user log."""

from __future__ import annotations

import os
import posixpath
import re
from dataclasses import dataclass

from vobox.classad.ad import Ad, quote

from .expressions import evaluate_boolean
from .job_commands import Commands


@dataclass(frozen=True)
class StandardInput:
    """The job's stdin."""

    name: str
    sent: bool  #: it is a file of this host that travels


def record_stdin(commands: Commands, ad: Ad) -> StandardInput:
    """Record stdin; raises SubmitError."""
    return StandardInput(*_record_stream(commands, ad, "input", "stdin", "In"))


def record_stdout_and_stderr(commands: Commands, ad: Ad) -> bool:
    """Record stdout and stderr; return whether they are one file. Raises SubmitError."""
    output, _sent = _record_stream(commands, ad, "output", "stdout", "Out")
    error, _sent = _record_stream(commands, ad, "error", "stderr", "Err")
    return output == error != os.devnull


def record_log(commands: Commands, ad: Ad, iwd: str) -> None:
    """Record the user log.

    ``commands``: of the submit description; ``ad``: of the job, which is changed; ``iwd``: the
    initial working directory, absolute.
    """
    if log := commands.get("log", "UserLog"):
        ad["UserLog"] = quote(make_absolute(iwd, log))


def make_absolute(directory: str, path: str) -> str:
    """Return the path from the root, with each slash once, as HTCondor writes it."""
    return re.sub("//+", "/", posixpath.join(directory, path))


def _record_stream(
    commands: Commands, ad: Ad, command: str, other: str, attribute: str
) -> tuple[str, bool]:
    """Return the stream's name, and whether its content travels."""
    name = commands.get(command, other) or os.devnull
    ad[attribute] = quote(name)
    wanted = commands.get(f"transfer_{command}", f"Transfer{attribute}")
    stream = commands.get(f"stream_{command}", f"Stream{attribute}")
    live = evaluate_boolean(f"stream_{command}", stream) if stream else False
    transfers = wanted is None or evaluate_boolean(f"transfer_{command}", wanted)
    sent = transfers and name != os.devnull
    if sent:
        ad[f"Stream{attribute}"] = str(live).lower()
    else:
        ad[f"Transfer{attribute}"] = "false"
    return name, sent
