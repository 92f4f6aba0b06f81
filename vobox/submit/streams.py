"""stdin, stdout, stderr and the user log: names as typed, In/Out/Err/UserLog in the ad."""

from __future__ import annotations

import os
import posixpath
import re
from dataclasses import dataclass

from ..ads import Ad, quote
from .commands import Commands
from .expressions import boolean


@dataclass(frozen=True)
class Streams:
    input: str
    output: str
    error: str
    send_input: bool  #: input is a file of this host that travels


def streams(commands: Commands, ad: Ad, iwd: str) -> Streams:
    """Record the streams and the log; raises Refusal."""
    sent = {}
    names = {}
    for command, other, attribute, flag in (
        ("input", "stdin", "In", "input"),
        ("output", "stdout", "Out", "output"),
        ("error", "stderr", "Err", "error"),
    ):
        name = commands.get(command, other) or os.devnull
        ad[attribute] = quote(name)
        wanted = commands.get(f"transfer_{flag}", f"Transfer{attribute}")
        stream = commands.get(f"stream_{flag}", f"Stream{attribute}")
        live = boolean(f"stream_{flag}", stream) if stream else False
        sent[attribute] = name != os.devnull and (
            wanted is None or boolean(f"transfer_{flag}", wanted)
        )
        if sent[attribute]:
            ad[f"Stream{attribute}"] = str(live).lower()
        else:
            ad[f"Transfer{attribute}"] = "false"
        names[attribute] = name
    if log := commands.get("log", "UserLog"):
        ad["UserLog"] = quote(re.sub("//+", "/", posixpath.join(iwd, log)))
    return Streams(names["In"], names["Out"], names["Err"], sent["In"])
