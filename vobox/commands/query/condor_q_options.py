"""condor_q's options (contract, section 3.1), in the order in which a short spelling picks one."""

from __future__ import annotations

from typing import Final

from vobox.client.usage import USAGES
from vobox.commands.command_line import GREEDY, CommandLine, Option

_NO_MATCHMAKER = "pilots take jobs in turn, nothing is matched; use -af and -format"
_NO_SUCH_TABLE = "print attributes with -af or -format"
_HOST = "-pool requires a hostname as an argument."

OPTIONS: Final = (
    Option("wide", 1, modifiers=True),
    Option("long", 1, modifiers=True),
    Option("xml", 3),
    Option("limit", 3, 1, missing="-limit requires the max number of results as an argument."),
    Option("pool", 1, 1, missing=_HOST),
    Option("D", 1, 1, missing="-D requires a list of flags as an argument.", ignored=True),
    Option("name", 1, 1, missing="-name requires the name of a schedd as an argument."),
    Option("direct", 1, 1, missing="-direct requires [schedd]"),
    Option("submitter", 1, 1, missing="-submitter requires the name of a user."),
    Option("constraint", 1, 1, missing="-constraint requires another parameter"),
    Option("slotconstraint", 5, refused=_NO_MATCHMAKER),
    Option("mconstraint", 2, refused=_NO_MATCHMAKER),
    Option("machine", 2, refused=_NO_MATCHMAKER),
    Option("address", 1, refused="name the schedd with -name"),
    Option("autocluster", 2, modifiers=True, refused=_NO_MATCHMAKER),
    Option("group-by", 2, modifiers=True, refused=_NO_SUCH_TABLE),
    Option("attributes", 2, 1, missing="-attributes requires a list of attributes to show"),
    Option("format", 1, 2, missing="-format requires format and attribute parameters"),
    Option(
        "autoformat",
        5,
        GREEDY,
        modifiers=True,
        missing="-autoformat requires at least one attribute parameter",
    ),
    Option(
        "af",
        2,
        GREEDY,
        modifiers=True,
        missing="-autoformat requires at least one attribute parameter",
    ),
    Option(
        "print-format",
        2,
        1,
        modifiers=True,
        missing="-print-format requires a filename argument",
    ),
    Option("aaf", 2, modifiers=True, refused=_NO_SUCH_TABLE),
    Option("global", 1),
    Option("schedd-constraint", 5, refused="there is one schedd; name it with -name"),
    Option("help", 1),
    Option("better-analyze", 2, modifiers=True),
    Option("better-analyse", 2, modifiers=True),
    Option("analyze", 2, modifiers=True),
    Option("analyse", 2, modifiers=True),
    Option("reverse-analyze", 3, modifiers=True, refused=_NO_MATCHMAKER),
    Option("verbose", 4, ignored=True),
    Option("run", 1),
    Option("hold", 2),
    Option("held", 2),
    Option("hold-codes", 6, refused="print HoldReasonCode and HoldReason with -af"),
    Option("cputime", 2),
    Option("currentrun", 2),
    Option("cumulative-time", 3, ignored=True),
    Option("grid", 2, refused=_NO_SUCH_TABLE),
    Option("globus", 5, refused=_NO_SUCH_TABLE),
    Option("debug", 3, modifiers=True, ignored=True),
    Option("io", 2, refused=_NO_SUCH_TABLE),
    Option("dag", 2),
    Option("factory", 3),
    Option("totals", 3),
    Option("expert", 1, ignored=True),
    Option("jobset", 4, refused="there are no job sets"),
    Option("jobads", 1, 1, missing="-jobads requires a filename"),
    Option("userlog", 1, 1, missing="-userlog requires a filename"),
    Option("slotads", 1, refused=_NO_MATCHMAKER),
    Option("userprios", 5, modifiers=True, refused=_NO_MATCHMAKER),
    Option("nouserprios", 7, modifiers=True, ignored=True),
    Option("version", 1),
    Option("json", 2),
    Option("idle", 3),
    Option("nobatch", 3),
    Option("batch", 2),
    Option("allusers", 2),
    Option("all-users", 2),
    Option("unmatchable", 3, refused=_NO_MATCHMAKER),
    Option("stream-results", 2, ignored=True),
)

USAGE: Final = USAGES["condor_q"]
COMMAND_LINE: Final = CommandLine(
    OPTIONS,
    USAGE,
    unknown="Error: unrecognized argument {option}\n",
    unknown_usage_on_stdout=True,
    empty_words=True,
)
