"""condor_status's options (contract, section 4.4); the order settles short spellings."""

from __future__ import annotations

from typing import Final

from .options import GREEDY, Option

_OTHER_ADS: Final = (
    *("absent", "any", "ckptsrvr", "claimed", "cod", "collector", "compact", "data", "defrag"),
    *("direct", "generic", "grid", "java", "license", "master", "negotiator", "offline", "quill"),
    *("run", "server", "sort", "startd", "state", "statistics", "storage", "submitters", "vm"),
)
_NO_SUCH_ADS: Final = "only -schedd is known; pilots do not report as machines"
_COLUMNS: Final = "{} requires at least one attribute parameter"

OPTIONS: Final = (
    Option("schedd", 2),
    Option("long", 1),
    Option("xml", 1),
    Option("json", 2),
    Option("wide", 1, modifiers=True, ignored=True),
    Option("debug", 3, modifiers=True, ignored=True),
    Option("verbose", 4, ignored=True),
    Option("constraint", 1, 1, missing="{} requires another parameter"),
    Option("format", 1, 2, missing="{} requires format and attribute parameters"),
    Option("af", 2, GREEDY, modifiers=True, missing=_COLUMNS),
    Option("autoformat", 5, GREEDY, modifiers=True, missing=_COLUMNS),
    Option("attributes", 2, 1, missing="{} requires a list of attributes to show"),
    Option("limit", 3, 1, missing="{} requires the max number of results as an argument."),
    Option("name", 1, 1, missing="{} requires the name of a schedd as an argument."),
    Option("pool", 1, 1, missing="{} requires a hostname as an argument."),
    Option("total", 1),
    Option("totals", 1),
    Option("help", 1),
    Option("version", 1),
    Option("avail", 2, refused=_NO_SUCH_ADS),
    Option("print-format", 2, modifiers=True, refused="print attributes with -af or -format"),
    *(Option(name, min(3, len(name)), refused=_NO_SUCH_ADS) for name in _OTHER_ADS),
)

USAGE: Final = """\
Usage: condor_status -schedd [options] [NAME ...]
\t-af[:lhVrtng,] ATTR ...\tprint attributes in columns
\t-format FMT ATTR\tprint the attribute as printf would
\t-long | -json | -xml\tprint the whole ad
\t-attributes A,B\t\twith these attributes only
\t-constraint EXPR\tonly where the expression is true
\t-total\t\t\tthe totals only
\t-name SCHEDD | -pool HOST | -limit N | -help | -version
"""
