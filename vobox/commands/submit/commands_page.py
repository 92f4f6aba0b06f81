"""Make the reference page of the submit commands from their table.

``python -m vobox.commands.submit.commands_page > docs/reference/submit-commands.md``
"""

from __future__ import annotations

import sys

from .commands_table import SUBMIT_COMMANDS, SubmitCommand, Support

_HEAD = """\
# Submit commands

How `condor_submit` treats every command of HTCondor's submit language. This
page is generated from `vobox/commands/submit/commands_table.py`; a test
compares the two.

A *refused* command ends the submit with exit code 1 and an `ERROR` line,
unless its value is `false`, `0` or empty, because ignoring it would change what
runs. Any other key is an assignment that macros may use; one that nothing uses
is reported as `WARNING: the line '...' was unused by condor_submit. Is it a
typo?` and the job is submitted. `+Attr = expression` and `MY.Attr = expression`
go into the job ad as they are, except for the attributes that the schedd sets
itself (`Owner`, `ClusterId`, ...) and those that have a command (`+Cmd`).

Besides assignments there are `if`/`elif`/`else`/`endif`, `key += value`,
`key @=tag` ... `@tag`, `error : text`, `warning : text`, `include : FILE`,
`include ifexist : FILE` and `include command : COMMAND` (also
`include : COMMAND |`). `include into` is refused, and so is `use`: there are no
templates. An included text cannot hold a queue statement.

The queue statement is `queue [count] [[names] in|from|matching [files|dirs|any]
[slice] items]`; the items are a list, lines in `(...)`, a file, stdin (`-`) or
what a command prints (`from COMMAND |`). Files are read with the rights of
the user who runs `condor_submit`; commands are run by `condor_submit` itself, on
its machine, and not through a shell. Macros are
`$(X)`, `$(X:default)`, `$ENV()`, `$F[fpduwnxbqa]()`, `$BASENAME()`,
`$DIRNAME()`, `$INT()`, `$REAL()`, `$STRING()`, `$SUBSTR()`, `$CHOICE()`,
`$RANDOM_CHOICE()`, `$RANDOM_INTEGER()`, `$EVAL()`. In arguments and environment the pilot replaces
`$$(CondorScratchDir)` and, from its machine ad, `$$(Arch)`, `$$(Cpus)`, `$$(Disk)`, `$$(Machine)`,
`$$(Memory)`, `$$(Name)`, `$$(OpSys)` and `$$(OpSysAndVer)`. Other attributes of the machine, and
these in names of files, are replaced by their default; without one they are refused.

All input files of a job are sent in one message of at most 16 MiB, and so is
its output. `condor_submit -spool` and `-remote NAME` keep the output until
`condor_transfer_data` fetches it, for ten days at most unless `leave_in_queue`
says otherwise.
"""
_TITLES = {
    Support.HONOURED: ("Honoured", "what it does"),
    Support.RECORDED: ("Recorded in the job ad only", "remark"),
    Support.REFUSED: ("Refused", "why, and what to do instead"),
}


def build_page() -> str:
    """Return the whole page."""
    parts = [_HEAD]
    for verdict, (title, meaning) in _TITLES.items():
        rows = sorted(
            (row for row in SUBMIT_COMMANDS if row.support is verdict), key=lambda r: r.names
        )
        parts.append(f"\n## {title}\n\n| command | attribute | {meaning} |\n| --- | --- | --- |\n")
        parts += [_render_row(row) for row in rows]
    return "".join(parts)


def _render_row(row: SubmitCommand) -> str:
    names = ", ".join(f"`{name}`" for name in row.names)
    attributes = " or ".join(f"`{name}`" for name in row.attribute.split(" or ") if name)
    effect = row.effect.replace("|", "\\|")
    return f"| {names} | {attributes} | {effect[0].upper()}{effect[1:]} |\n"


if __name__ == "__main__":
    sys.stdout.write(build_page())
