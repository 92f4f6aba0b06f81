"""Make the reference page of the condor commands from their option tables.

``python -m vobox.commands.reference_page > docs/reference/commands.md``
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from vobox.client import version, wait, watch_q
from vobox.commands.submit.options import USAGE as SUBMIT_USAGE

from . import (
    act,
    config_val,
    editable_attributes,
    prio,
    qedit,
    reschedule,
    tail,
    transfer_data,
    vacate,
)
from .command_line import GREEDY, Option
from .query import condor_history_options, condor_q_options, condor_status_options

_HEAD = """\
# The condor commands

How each command treats the options of HTCondor's command. This page is generated from the tables
that the commands use (`python -m vobox.commands.reference_page`); a test compares the two.

Texts, streams and exit codes are HTCondor's. 0: the command was carried out, or the query was
answered (even with an empty result); 1: it failed, and stderr says why (`condor_watch_q`: 2 for a
wrong command line); 130: interrupted. An option of HTCondor that is not supported here is refused
with one line, never ignored.

In `-c[onstraint] X` the letters before the bracket suffice; after two dashes the whole name is
required. An empty argument is ignored (DIRAC passes one), except where it has a meaning in
HTCondor (`condor_q ''`).

## Permissions

The kernel tells who the caller is (`SO_PEERCRED` of the socket); neither the environment nor the
command line can change that. Every user sees every job. Only its owner and root may change a job,
end its run or read its output; for others the commands print `Permission denied to remove job
1.0`, or that there was nothing to do, with exit code 1. As with HTCondor it is 0 for a cluster, a
user or a constraint while nobody has a job in the queue. `condor_q` shows root the jobs of all.

A CE in another container needs only the socket's directory. Its uid is the one that the schedd's
side sees: the same number without user namespaces, the mapped one with them (an unmapped caller
is 65534, nobody). The socket is open to all (0666) if the schedd runs as root, and to its own
user only (0600) otherwise; the permissions of its directory can restrict that further.

At most 1024 commands are served at once, half of them of one user (root: all), fewer if the
limit of open files (`ulimit -n`) is below 8192;
further ones fail with `… are under way; try again`, rc 1.

## Requirements

The commands need only the standard library of Python 3.6 or later. They need no PATH, no HOME, no
locale, no open stdin, stdout or stderr, and no working directory (`condor_submit` needs an
existing one). `condor_wait`, `condor_watch_q -files` and `condor_version` need no schedd, nor does
`-help` or `-version` of any command. Entry points made by pip read
`PYTHONPATH` and `PYTHONHOME` as every Python program does; run the commands with `python3 -I` if
a CE sets these for its own Python.
"""

#: Command → what it does, and its options or how it is used.
_COMMANDS: dict[str, tuple[str, Sequence[Option] | str]] = {
    "condor_submit": (
        "Queues jobs. The description's commands are in [submit-commands.md](submit-commands.md).",
        SUBMIT_USAGE,
    ),
    "condor_q": ("Shows the queue.", condor_q_options.OPTIONS),
    "condor_history": ("Shows jobs that left the queue.", condor_history_options.OPTIONS),
    "condor_status": (
        "Shows the pilots as slots, and the schedd ([schedd.md](schedd.md)).",
        condor_status_options.OPTIONS,
    ),
    "condor_rm": (
        "Removes jobs. `-forcex` lets a removed job leave the queue although its worker has not "
        "answered, or `leave_in_queue` keeps it.",
        act.OPTIONS["condor_rm"],
    ),
    "condor_hold": (
        "Holds jobs: idle ones are not started, running ones are ended.",
        act.OPTIONS["condor_hold"],
    ),
    "condor_release": ("Queues held jobs again.", act.OPTIONS["condor_release"]),
    "condor_suspend": (
        "Stops every process of running jobs (SIGSTOP); JobStatus is 7. A worker that did not "
        "hear of it is told again at its next heartbeat. Event 010 in the user log says 1 process, "
        "however many were stopped.",
        act.OPTIONS["condor_suspend"],
    ),
    "condor_continue": (
        "Lets suspended jobs run on (SIGCONT).",
        act.OPTIONS["condor_continue"],
    ),
    "condor_vacate_job": (
        "Ends the runs of jobs, which are then queued again: the kill signal, the job's grace, "
        "SIGKILL; `-fast` is SIGKILL at once. The order is not repeated if the worker does not "
        "hear it.",
        act.OPTIONS["condor_vacate_job"],
    ),
    "condor_vacate": (
        "The same for all jobs on some machines or slots: one's own jobs of this schedd, all of "
        "them for root. There is no machine to be asked, so that a machine without such a job is "
        "one that cannot be found.",
        vacate.OPTIONS,
    ),
    "condor_qedit": (
        "Changes attributes of jobs, all or none. See [below](#what-condor_qedit-may-change).",
        qedit.OPTIONS,
    ),
    "condor_prio": (
        "Sets JobPrio. It is recorded and shown, and **does not change who is next**: jobs wait "
        "in one queue in the order of their submission, and the broker's quorum queues know no "
        "priorities.",
        prio.USAGE,
    ),
    "condor_tail": (
        "Shows the end of what a running job has written: stdout, or with `-stderr` that, and "
        "files in the job's directory; 1024 bytes of each (`-maxbytes`), 1 MiB at the most. The "
        "worker answers within seconds; after 20 s without an answer it is an error. `-f` asks "
        "again every 2 s until the job has ended.",
        tail.OPTIONS,
    ),
    "condor_transfer_data": (
        "Fetches the output of jobs submitted with `-spool` or `-remote`; others are passed over.",
        transfer_data.OPTIONS,
    ),
    "condor_wait": (
        "Waits for the jobs of a user log. Reads the log alone.",
        wait.USAGE.lstrip("\n"),
    ),
    "condor_watch_q": (
        "Shows the jobs of user logs as a table with a bar, again whenever they change. It reads "
        "the logs alone, but for one question to the schedd which logs your jobs in the queue "
        "have. Unlike HTCondor's it ends by itself when all jobs have left the queue; batches, "
        "grouping and `-users` are not there.",
        watch_q.USAGE,
    ),
    "condor_config_val": (
        "Prints values of this schedd's under HTCondor's names. There is no other configuration: "
        "every other name is `Not defined`, which is exit code 1, and 0 with `-schedd` or "
        "`-name`, as with HTCondor. `_CONDOR_NAME` in the environment wins, but not with these.",
        config_val.OPTIONS,
    ),
    "condor_reschedule": (
        "Does nothing, and says what HTCondor's says: workers take jobs at once as it is.",
        reschedule.OPTIONS,
    ),
    "condor_version": (
        "Prints the release whose behaviour is followed, and `plancton` as its build.",
        version.USAGE,
    ),
}

_TAIL = """
## What condor_qedit may change

Everything that the schedd evaluates or shows: policies (`PeriodicRemove`, `LeaveJobInQueue`, …),
`JobPrio`, `JobBatchName`, `UserLog`, `Out`, `Err`, requests, requirements, and attributes of your
own. A change is an event in the stream: a rebuilt ledger has it too. Requirements are looked at
when a job is queued: one that waits in the broker's queue already is not called back. `Out`,
`Err`, `UserLog` and `TransferOutputRemaps` have to be strings. Not these, and each is said so by
`Update of … attribute "…" is not allowed.` with the reason:

| attributes | why not |
| --- | --- |
"""


def build_page() -> str:
    """Return the whole page."""
    parts = [_HEAD]
    for command, (what, options) in _COMMANDS.items():
        parts.append(f"\n## {command}\n\n{what}\n")
        parts.append(
            f"\n```\n{options}```\n" if isinstance(options, str) else _render_options(options)
        )
    parts.append(_TAIL)
    for names, why in (
        (editable_attributes.IMMUTABLE, "it is what the job is known by"),
        (editable_attributes.KEPT, "the schedd keeps it itself"),
        (editable_attributes.SENT, "it travels with the job to its worker"),
    ):
        listed = ", ".join(f"`{name}`" for name in names.split())
        parts.append(f"| {listed} | {why} |\n")
    parts.append(
        "\n`condor_ssh_to_job`, `condor_qsub`, `condor_off`, `condor_drain` and the other commands "
        "of a pool's\nadministrator are not there. For a job's output use `condor_tail`, on its "
        "node `planctonctl logs PILOT`; a node is drained\nthere with `planctonctl drain`.\n"
    )
    return "".join(parts)


def _render_options(options: Sequence[Option]) -> str:
    honoured = [each for each in options if not each.ignored and not each.refused]
    ignored = [each for each in options if each.ignored and not each.refused]
    refused = [each for each in options if each.refused]
    text = "\nHonoured: " + ", ".join(map(_render_option, honoured)) + ".\n"
    if ignored:
        text += "\nAccepted without effect: " + ", ".join(map(_render_option, ignored)) + ".\n"
    if refused:
        text += "\n| refused | why |\n| --- | --- |\n"
        text += "".join(f"| {_render_option(each)} | {each.refused} |\n" for each in refused)
    return text


def _render_option(option: Option) -> str:
    """Return an option as ``-c[onstraint] X``."""
    name, least = option.name, option.least
    text = f"-{name[:least]}" + (f"[{name[least:]}]" if name[least:] else "")
    text += "[:letters]" if option.modifiers else ""
    return f"`{text}{' X...' if option.values == GREEDY else ' X' * option.values}`"


if __name__ == "__main__":
    sys.stdout.write(build_page())
