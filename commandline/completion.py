"""Make the completion scripts of programs, for bash; zsh runs the same ones."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence

from .parser import list_commands, list_words

#: What zsh needs before it can run a script for bash.
ZSH = "autoload -U +X compinit bashcompinit && compinit && bashcompinit\n"
_SCRIPT = """\
{function}() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} command= word words
    for word in "${{COMP_WORDS[@]:1:$((COMP_CWORD - 1))}}"; do
        case $word in
            {commands}) command=$word; break ;;
        esac
    done
    case $command in
{cases}
    esac
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F {function} {program}
"""
_OPTION = re.compile(r"(?<![\w\-+=])--?[a-z][\w-]*")


def build_script(parser: argparse.ArgumentParser) -> str:
    """Return a bash script that completes the commands and options of ``parser``."""
    commands = list_commands(parser)
    words: dict[str, Sequence[str]] = {"''": [*commands, *list_words(parser)]}
    words |= {name: list_words(command) for name, command in commands.items()}
    return _format_script(parser.prog, words)


def build_script_of_usage(program: str, usage: str, commands: Sequence[str] = ()) -> str:
    """Return a bash script that completes the options that a usage text names."""
    options = dict.fromkeys(_OPTION.findall(usage))
    return _format_script(program, {"''": [*commands, *options], **dict.fromkeys(commands, ())})


def _format_script(program: str, words: Mapping[str, Sequence[str]]) -> str:
    """Return the script; ``words``: what to offer after each command, and (``''``) before one."""
    cases = "\n".join(f'        {name}) words="{" ".join(of)}" ;;' for name, of in words.items())
    return _SCRIPT.format(
        function="_" + re.sub(r"\W", "_", program),
        program=program,
        commands="|".join(name for name in words if name != "''") or "''",
        cases=cases,
    )
