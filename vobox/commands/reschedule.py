"""condor_reschedule: answer as HTCondor does. Nothing is to be done: workers take jobs at once."""

from __future__ import annotations

from vobox.client.usage import USAGES
from vobox.rpc.types import Answer, Request

from .command_line import CommandLine, Flag, Option, answers_early
from .schedd_names import is_schedd

OPTIONS = (
    Option("help", 1),
    Option("version", 1),
    Option("all", 1, ignored=True),
    Option("name", 1, values=1),
    Option("pool", 1, values=1, ignored=True),
    Option("addr", 2, values=1, ignored=True),
    Option("debug", 2, ignored=True),
)
USAGE = USAGES["condor_reschedule"]
COMMAND_LINE = CommandLine(
    OPTIONS,
    USAGE,
    unknown='ERROR: unknown parameter: "{option}"\n{usage}',
    missing="ERROR: {option} requires another argument\n{usage}",
    help_on_stderr=True,
)


@answers_early
def answer(request: Request, schedd: str) -> Answer:
    """Carry out condor_reschedule; ``schedd``: the name of ours."""
    names: list[str] = []
    for item in COMMAND_LINE.parse(request.argv):
        if not isinstance(item, Flag):
            names.append(item.text)
        elif item.name == "name":
            names.append(item.value)
    stdout, stderr = "", ""
    for name in names:
        if is_schedd(name, schedd):
            stdout += f'Sent "Reschedule" command to schedd {name}\n'
        else:
            stderr += f"Can't find address for schedd {name}\n"
    if not names:
        stdout = 'Sent "Reschedule" command to local schedd\n'
    return Answer(stdout, stderr, 1 if stderr else 0)
