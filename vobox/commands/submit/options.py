"""The command line of condor_submit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from commandline.parser import suggest
from vobox.client.usage import USAGES
from vobox.commands.command_line import Option, parse_leading_integer

from .description import ExtraLines
from .errors import SubmitError
from .logical_lines import is_queue

USAGE = USAGES["condor_submit"]

#: The order decides between equal prefixes.
_OPTIONS = (
    Option("verbose", 1),
    Option("terse", 3),
    Option("disable", 3),
    Option("debug", 2, modifiers=True),
    Option("dry-run", 3, 1, modifiers=True),
    Option("spool", 1),
    Option("file", 2, 1),
    Option("factory", 2),
    Option("address", 2, 1),
    Option("remote", 1, 1),
    Option("name", 1, 1),
    Option("append", 1, 1),
    Option("batch-name", 1, 1),
    Option("batch-id", 7, 1),
    Option("queue", 1, 1),
    Option("iterate", 2, 1),
    Option("table", 5, 1),
    Option("maxjobs", 3, 1),
    Option("single-cluster", 3),
    Option("pool", 2, 1),
    Option("unused", 1),
    Option("dump", 2, 1),
    Option("allow-crlf-script", 8),
    Option("help", 1),
    Option("capabilities", 3, modifiers=True),
    Option("interactive", 1, refused="jobs have no terminal"),
)
#: Options that set a field of the same meaning: to their value, or to True.
_FIELDS = {
    "file": "file",
    "name": "name",
    "spool": "spool",
    "capabilities": "capabilities",
    "allow-crlf-script": "allow_crlf",
    "help": "help",
}
_QUEUE = ("queue", "iterate", "table")
_NAME = re.compile(r"\+?[\w.]+\Z", re.ASCII)


@dataclass
class SubmitOptions:
    """A parsed command line."""

    file: str | None = None  #: None or "-": stdin
    terse: bool = False
    verbose: bool = False
    dry_run: str | None = None  #: the file for the ads, "-" for stdout; None to submit
    dump: bool = False  #: dry_run was given as -dump
    full: bool = False  #: -dry-run:full: each job's whole ad, as -verbose prints it
    max_jobs: int = 0  #: 0: no limit
    name: str = ""  #: the schedd asked for
    remote: str = ""  #: the same, by -remote
    spool: bool = False  #: output waits for condor_transfer_data
    capabilities: bool = False
    warn_unused: bool = True
    allow_crlf: bool = False
    help: bool = False
    before: list[tuple[str, str]] = field(default_factory=list)
    append: list[str] = field(default_factory=list)
    queue: str = ""

    @property
    def extra(self) -> ExtraLines:
        """What the command line adds to the description."""
        return ExtraLines(self.before, self.append, self.queue)

    @property
    def from_stdin(self) -> bool:
        """Whether the description comes from stdin; else the command line may say it all."""
        if self.file is None:
            return not (self.queue and (self.before or self.append))
        return self.file == "-"

    @property
    def quiet(self) -> bool:
        """Whether "Submitting job(s)" is left out: -terse, ``-`` as file name, and -dump to it."""
        return self.terse or self.file == "-" or self.dumps_to_stdout

    @property
    def dumps_to_stdout(self) -> bool:
        """Whether nothing but the ads is printed."""
        return self.dump and self.dry_run == "-"


_NO_FILE = """
ERROR: No submit filename was provided, and '{0}'
  was given as the output filename for -dump or -dry-run. Was this intended?
  To to avoid confusing the output file with the submit file when using these
  commands, an explicit submit filename argument must be given. You can use -
  as the submit filename argument to read from stdin.
"""


def reads_stdin(argv: Sequence[str]) -> bool:
    """Return whether this command line makes condor_submit read its stdin."""
    try:
        options = parse_options(argv)
    except SubmitError:
        return False
    return options.from_stdin and not options.help and not options.capabilities


def parse_options(argv: Sequence[str]) -> SubmitOptions:
    """Read the arguments, without the program's name; raises SubmitError."""
    options = SubmitOptions()
    batch: dict[str, str] = {}
    position = 0
    while position < len(argv):
        word = argv[position]
        position += 1
        if not word.startswith("-") or word == "-":
            _add_positional(options, word)
            continue
        option = next((each for each in _OPTIONS if each.matches(word)), None)
        if option is None:
            if word in ("-version", "--version"):  # as the client answers without us
                raise SubmitError(USAGE)
            near = suggest(word, (f"-{each.name}" for each in _OPTIONS))
            raise SubmitError(f"{USAGE}Error: unknown option {word}{near}\n")
        name, value = option.name, ""
        if option.values:
            if position >= len(argv):
                what = "at least one" if name in _QUEUE else "another"
                raise SubmitError(f"condor_submit: -{name} requires {what} argument\n")
            value = argv[position]
            position += 1
        if option.refused:
            raise SubmitError(f"condor_submit: -{name} is not supported here: {option.refused}\n")
        if name == "table":
            value = f"from table {value}"
            position = _take_queue_words(options, word, value, (), 0) + position
        elif name in _QUEUE:
            position = _take_queue_words(options, word, value, argv, position)
        elif name in ("batch-name", "batch-id"):
            attribute = "JobBatchName" if name == "batch-name" else "JobBatchId"
            batch[attribute] = value if value.startswith('"') else f'"{value}"'
        else:
            _set(options, name, value, word.partition(":")[2])
    options.append += [f"MY.{attribute} = {text}" for attribute, text in batch.items()]
    if options.dry_run is not None and options.file is None:
        raise SubmitError(_NO_FILE.format(options.dry_run))
    if options.file == "-" and not options.terse:
        options.verbose = True
    return options


def _add_positional(options: SubmitOptions, word: str) -> None:
    if "=" not in word:
        options.file = word
        return
    name, _, value = word.partition("=")
    name, value = name.strip(), " ".join(value.split("\n")).strip()
    if not _NAME.match(name):
        raise SubmitError(
            f"condor_submit: invalid attribute name '{name}' for attrib=value assigment\n"
        )
    options.before.append(("MY." + name[1:] if name.startswith("+") else name, value))


def _take_queue_words(
    options: SubmitOptions, word: str, value: str, argv: Sequence[str], position: int
) -> int:
    """Take the words of ``-queue`` up to the next option; return where it stopped.

    A lone dash is no option: it stands for stdin, as in ``from -``, and is the last of them.
    """
    if not value or value.startswith("-"):
        raise SubmitError(f"condor_submit: {word} requires at least one argument\n")
    words = [value]
    while position < len(argv) and words[-1] != "-":
        if argv[position].startswith("-") and argv[position] != "-":
            break
        words.append(argv[position])
        position += 1
    _set_queue(options, "queue " + " ".join(words), word)
    return position


def _set_queue(options: SubmitOptions, statement: str, option: str = "-queue") -> None:
    if options.queue:
        raise SubmitError(f"condor_submit: only one {option} command allowed\n")
    options.queue = statement


def _set(options: SubmitOptions, name: str, value: str, suffix: str) -> None:
    if name in _FIELDS:
        setattr(options, _FIELDS[name], value if name in ("file", "name") else True)
    elif name in ("verbose", "terse"):
        options.verbose, options.terse = name == "verbose", name == "terse"
    elif name in ("dry-run", "dump"):
        if options.dry_run is not None:
            raise SubmitError(
                "condor_submit: -dump <file> and -dry-run <file> cannot be used together\n"
            )
        if suffix not in ("", "full"):
            raise SubmitError(f"unknown option {suffix} for -dry-run:<opts>\n")
        options.dry_run, options.dump, options.full = value, name == "dump", bool(suffix)
    elif name == "remote":
        options.remote, options.spool = value, True
    elif name == "append":
        if is_queue(value):
            _set_queue(options, value)
        else:
            options.append.append(value)
    elif name == "maxjobs":
        options.max_jobs = _parse_max_jobs(value)
    elif name == "unused":
        options.warn_unused = not options.warn_unused


def _parse_max_jobs(text: str) -> int:
    number, rest = parse_leading_integer(text)
    if rest:
        raise SubmitError(f"Error: Unable to convert argument ({text}) to a number for -maxjobs.\n")
    if number < -1:
        raise SubmitError(f"Error: {number} is not a valid for -maxjobs.\n")
    return max(number, 0)
