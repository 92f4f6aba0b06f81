"""condor_reschedule: asks for jobs to be matched now. Workers take jobs at once as it is."""

from __future__ import annotations

from vobox.rpc.types import Answer, Request

from .common import cleaned
from .option_parser import Flag, MissingValue, Option, UnknownOption, parse_arguments
from .schedd_names import is_schedd
from .version import VERSION_TEXT

OPTIONS = (
    Option("help", 1),
    Option("version", 1),
    Option("all", 1, ignored=True),
    Option("name", 1, values=1),
    Option("pool", 1, values=1, ignored=True),
    Option("addr", 2, values=1, ignored=True),
    Option("debug", 2, ignored=True),
)
USAGE = "Usage: condor_reschedule [-all] [-name SCHEDD] [-pool POOL] [SCHEDD...]\n"


def answer(request: Request, schedd: str) -> Answer:
    """Carry out condor_reschedule."""
    names: list[str] = []
    try:
        for item in parse_arguments(cleaned(request.argv), OPTIONS):
            if not isinstance(item, Flag):
                names += [item.text] if item.text else []
            elif item.option.name == "help":
                return Answer(stderr=USAGE)
            elif item.option.name == "version":
                return Answer(VERSION_TEXT)
            elif item.option.name == "name":
                names += item.values
    except UnknownOption as error:
        text = f'ERROR: unknown parameter: "{error.spelled}"\n{USAGE}'
        return Answer(stderr=text, code=1)
    except MissingValue as error:
        text = f"ERROR: {error.flag.spelled} requires another argument\n{USAGE}"
        return Answer(stderr=text, code=1)
    said, failed = "", ""
    for name in names:
        if is_schedd(name, schedd):
            said += f'Sent "Reschedule" command to schedd {name}\n'
        else:
            failed += f"Can't find address for schedd {name}\n"
    if not names:
        said = 'Sent "Reschedule" command to local schedd\n'
    return Answer(said, failed, 1 if failed else 0)
