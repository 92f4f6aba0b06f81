"""condor_status's options (contract, section 4.4); the order settles short spellings.

Least lengths are those of HTCondor's own command; where it would call a short
spelling unknown or mean something we do not have, ours may take it.
"""

from __future__ import annotations

from typing import Final

from vobox.client.usage import USAGES
from vobox.commands.command_line import GREEDY, CommandLine, Option

#: Kinds of ads that no daemon here has; in HTCondor's pools, too, there may be none.
OTHER_ADS: Final = (
    ("absent", 2), ("ckptsrvr", 2), ("cod", 3), ("data", 2), ("defrag", 3),
    ("generic", 2), ("gpus", 3), ("grid", 1), ("java", 1), ("license", 2),
    ("offline", 2), ("quill", 2), ("storage", 3), ("vm", 2), ("world", 1),
)  # fmt: skip
_NO_SUCH_ADS: Final = "pilots, the schedd and its submitters have no such ads"
_NO_SUCH_TABLE: Final = "print attributes with -af or -format"
_NOT_SAID: Final = "pilots do not say it of their machines"
_NOT_FROM_FILES: Final = "it answers from the pool only"
_NEEDS_ONE: Final = "condor_status: {} requires one additional argument"
_FILE: Final = "Error: Argument -print-format requires a filename argument"
_COLUMNS: Final = "Error: Argument {} requires at least one attribute parameter"

OPTIONS: Final = (
    Option("avail", 2),
    Option("pool", 1, 1, missing="condor_status: {} requires a hostname as an argument."),
    Option("format", 1, 2, missing="condor_status: {} requires two other arguments"),
    Option("autoformat", 5, GREEDY, modifiers=True, missing=_COLUMNS),
    Option("af", 2, GREEDY, modifiers=True, missing=_COLUMNS),
    Option("print-format", 2, 1, modifiers=True, missing=_FILE),
    Option("wide", 3, modifiers=True),
    Option("natural", 3, modifiers=True, ignored=True),
    Option("claimed", 2),
    Option("compact", 3),
    Option("nocompact", 5, ignored=True),
    Option("collector", 3),
    Option("constraint", 1, 1, missing="condor_status: {} requires another argument"),
    Option("direct", 3, 1, missing="condor_status: {} requires another argument"),
    Option("diagnose", 3, modifiers=True, refused=_NOT_FROM_FILES),
    Option("debug", 2, modifiers=True, ignored=True),
    Option("help", 1),
    Option("long", 1, modifiers=True),
    Option("limit", 2, 1, missing=_NEEDS_ONE),
    Option("xml", 1),
    Option("json", 2),
    Option("jsonl", 5),
    Option("attributes", 2, 1, missing=_NEEDS_ONE),
    Option("schedd", 2),
    Option("slots", 2),
    Option("sort", 2, 1, missing="condor_status: {} requires another argument"),
    Option("startd", 4),
    Option("state", 4),
    Option("server", 2, refused=f"nobody measures MIPS and KFLOPS; {_NO_SUCH_TABLE}"),
    Option("statistics", 5, refused=_NO_SUCH_ADS),
    Option("subsystem", 4, refused=_NO_SUCH_ADS),
    Option("snapshot", 4, modifiers=True, ignored=True),
    Option("run", 1),
    Option("any", 2),
    Option("negotiator", 2),
    Option("submitters", 4),
    Option("master", 1),
    Option("name", 1, 1, missing=_NEEDS_ONE),
    Option("total", 1),
    Option("totals", 1),
    Option("target", 4, refused=_NOT_FROM_FILES),
    Option("merge", 5, refused=_NOT_FROM_FILES),
    Option("ads", 2, modifiers=True, refused=_NOT_FROM_FILES),
    Option("aaf", 3, modifiers=True, refused=_NO_SUCH_TABLE),
    Option("broken", 4, refused=_NOT_SAID),
    Option("healthy", 4, modifiers=True, refused=_NOT_SAID),
    Option("lvm", 3, modifiers=True, refused=_NOT_SAID),
    Option("group-by", 5, refused=_NO_SUCH_TABLE),
    Option("annex-slots", 5, refused=_NO_SUCH_ADS),
    Option("annex-name", 10, refused=_NO_SUCH_ADS),
    Option("expert", 1, ignored=True),
    Option("version", 3),
    Option("verbose", 4, ignored=True),
    *(Option(name, least) for name, least in OTHER_ADS),
)

USAGE: Final = USAGES["condor_status"]
COMMAND_LINE: Final = CommandLine(
    OPTIONS,
    USAGE,
    unknown="Error:  Unknown option {option}\n{usage}",
    missing='{why}\nUse "condor_status -help" for details\n',
    empty_words=True,
)
