"""stdin, stdout, stderr and the user log: names as typed, In/Out/Err/UserLog in the ad."""

from __future__ import annotations

import os
import posixpath
import re
from dataclasses import dataclass

from vobox.classad.ad import Ad, quote

from .expressions import boolean
from .job_commands import Commands


@dataclass(frozen=True)
class Stdin:
    name: str
    sent: bool  #: it is a file of this host that travels


def standard_input(commands: Commands, ad: Ad) -> Stdin:
    """Record stdin; raises Refusal."""
    return Stdin(*_stream(commands, ad, "input", "stdin", "In"))


def standard_output(commands: Commands, ad: Ad) -> bool:
    """Record stdout and stderr; whether they are one file. Raises Refusal."""
    output, _sent = _stream(commands, ad, "output", "stdout", "Out")
    error, _sent = _stream(commands, ad, "error", "stderr", "Err")
    return output == error != os.devnull


def record_log(commands: Commands, ad: Ad, iwd: str) -> None:
    if log := commands.get("log", "UserLog"):
        ad["UserLog"] = quote(re.sub("//+", "/", posixpath.join(iwd, log)))


def _stream(
    commands: Commands, ad: Ad, command: str, other: str, attribute: str
) -> tuple[str, bool]:
    """The stream's name, and whether its content travels."""
    name = commands.get(command, other) or os.devnull
    ad[attribute] = quote(name)
    wanted = commands.get(f"transfer_{command}", f"Transfer{attribute}")
    stream = commands.get(f"stream_{command}", f"Stream{attribute}")
    live = boolean(f"stream_{command}", stream) if stream else False
    sent = name != os.devnull and (wanted is None or boolean(f"transfer_{command}", wanted))
    if sent:
        ad[f"Stream{attribute}"] = str(live).lower()
    else:
        ad[f"Transfer{attribute}"] = "false"
    return name, sent
