"""Format a program's help as a manual page (man-pages(7), the macros of man(7))."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

from commandline.parser import list_commands

#: Ends each page: where the rest of the documentation is.
_SEE_ALSO = """\
.SH SEE ALSO
The pages in docs/ of the source, among them the tutorial, the how\\-tos and the references of all
configuration keys and condor commands.
"""


def format_parser(parser: argparse.ArgumentParser, version: str) -> str:
    """Return the page of a program that has an argparse parser."""
    parts = [_head(parser.prog, parser.description or "", version), _synopsis(parser)]
    parts.append(".SH DESCRIPTION\n" + _text(parser.description or ""))
    commands = list_commands(parser)
    parts += _options(parser, ".SH OPTIONS\n")
    if commands:
        parts.append(".SH COMMANDS\n")
        for name, command in commands.items():
            parts.append(f".SS {_escape(name)}\n{_text(command.description or '')}")
            parts += _options(command, "", parser)
    if parser.epilog:
        parts.append(".SH NOTES\n" + _block(parser.epilog))
    return "".join(parts) + _SEE_ALSO


def format_usage(program: str, summary: str, usage: str, version: str) -> str:
    """Return the page of a program whose help is one text."""
    return (
        _head(program, summary, version)
        + ".SH SYNOPSIS\n"
        + _block(usage)
        + ".SH DESCRIPTION\n"
        + _text(summary)
        + _SEE_ALSO
    )


def _head(program: str, summary: str, version: str) -> str:
    first = re.split(r"[.;:]\s|\.$", " ".join(summary.split()))[0]
    first = first[:1].lower() + first[1:]
    return (
        f'.TH {_escape(program.upper())} 1 "" "plancton\\-grid {_escape(version)}"\n'
        f".SH NAME\n{_escape(program)} \\- {_escape(first)}\n"
    )


def _synopsis(parser: argparse.ArgumentParser) -> str:
    usage = " ".join(parser.format_usage().removeprefix("usage:").split())
    return f".SH SYNOPSIS\n{_text(usage)}"


def _options(
    parser: argparse.ArgumentParser, heading: str, above: argparse.ArgumentParser | None = None
) -> Iterator[str]:
    """Yield the options and arguments, but for those that the program ``above`` has too."""
    known = {
        option for action in (above._actions if above else ()) for option in action.option_strings
    }
    for action in parser._actions:
        if action.help == argparse.SUPPRESS or isinstance(action, argparse._SubParsersAction):
            continue
        if action.option_strings and known.issuperset(action.option_strings):
            continue
        yield heading
        heading = ""
        formatter = parser._get_formatter()
        words = formatter._format_action_invocation(action)
        told = formatter._expand_help(action) if action.help else ""
        yield f".TP\n\\fB{_escape(words)}\\fR\n{_text(told)}"


def _text(text: str) -> str:
    """Return running text."""
    return "".join(f"{_escape(line.strip())}\n" for line in text.splitlines() if line.strip())


def _block(text: str) -> str:
    """Return text whose lines stay as they are."""
    lines = "\n".join(_escape(line) for line in text.strip("\n").expandtabs().splitlines())
    return f".nf\n{lines}\n.fi\n"


def _escape(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text
