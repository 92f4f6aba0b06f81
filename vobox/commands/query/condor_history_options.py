"""condor_history's options (contract, section 4.2); the order settles short spellings."""

from __future__ import annotations

from typing import Final

from vobox.client.usage import USAGES
from vobox.commands.command_line import GREEDY, CommandLine, Option

_NO_RUNS = "jobs are recorded, not each of their runs"
_ONLY_JOBS = "only jobs of this schedd are recorded"
_PARAMETER = "Argument {} requires another parameter"
_NUMBER = "Argument -match requires a number value as a parameter."
_COLUMNS = (
    "Argument {0} requires at least one attribute parameter\n\t\te.g. condor_history {0} ClusterId"
)

OPTIONS: Final = (
    Option("long", 1),
    Option("xml", 3),
    Option("jsonl", 5),
    Option("json", 2),
    Option("backwards", 1),
    Option("nobackwards", 3),
    Option("forwards", 4),
    Option("wide", 1, modifiers=True),
    Option("match", 1, 1, missing=_NUMBER),
    Option("limit", 3, 1, missing=_NUMBER),
    Option("scanlimit", 4, 1, missing="Argument {} requires a number value  as a parameter."),
    Option("since", 2, 1, missing=_PARAMETER),
    Option("submitter", 2, 1, missing="Argument {} requires the name of a user"),
    Option("startd", 3, refused=_ONLY_JOBS),
    Option("epochs", 2, modifiers=True, refused=_NO_RUNS),
    Option("transfer-history", 2, modifiers=True, refused=_NO_RUNS),
    Option("directory", 3, refused=_NO_RUNS),
    Option("daemon", 3, modifiers=True, refused=_ONLY_JOBS),
    Option("search", 3, refused="name a file with -file"),
    Option("extract", 2, refused="redirect the output of -long"),
    Option("stream-results", 6, modifiers=True, ignored=True),
    Option("no-librarian", 12, ignored=True),
    Option("schedd", 3, ignored=True),
    Option("local", 2, ignored=True),
    Option("file", 1, 1, missing="Argument {} requires a file name"),
    Option("userlog", 1, 1, missing="Argument {} requires a file name"),
    Option("help", 1),
    Option(
        "format",
        1,
        2,
        missing="Argument {} requires a spec and classad attribute name as parameters.\n"
        "\t\te.g. condor_history -format '%d' ClusterId",
    ),
    Option("af", 2, GREEDY, modifiers=True, missing=_COLUMNS),
    Option("autoformat", 5, GREEDY, modifiers=True, missing=_COLUMNS),
    Option("attributes", 2, 1, missing="Argument {} must be followed by a list of attributes"),
    Option(
        "print-format",
        2,
        1,
        modifiers=True,
        missing="Argument -print-format requires a filename argument",
    ),
    Option("constraint", 1, 1, missing=_PARAMETER),
    Option("completedsince", 3, 1, missing="Argument {} requires another parameter."),
    Option("debug", 1, modifiers=True, ignored=True),
    Option("diagnostic", 4, ignored=True),
    Option("name", 1, 1, missing="Argument {} requires name of a remote schedd"),
    Option("pool", 1, 1, missing="Argument {} requires name of a pool"),
    Option("version", 1),
)

USAGE: Final = USAGES["condor_history"]
COMMAND_LINE: Final = CommandLine(
    OPTIONS,
    USAGE,
    unknown="Error: Unknown argument {option}\n",
    unknown_usage_on_stdout=True,
    empty_words=True,
)
