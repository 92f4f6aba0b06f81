"""Parse command lines: errors are one line that names the nearest command or option."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, NoReturn

_WRONG_COMMAND = re.compile(r"argument (?:command|COMMAND): invalid choice: '([^']*)'")
_ONE_DASH = ("-help", "-version")


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line and exit code 2; subclasses may end otherwise."""

    #: Other tools' words for commands of this one.
    synonyms: ClassVar[Mapping[str, str]] = {}

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse the command line; what nobody knows is refused with the nearest option."""
        # with one dash, too, as the condor commands take them
        given = sys.argv[1:] if args is None else args
        words = ["-" + word if word in _ONE_DASH else word for word in given]
        options, unknown = self.parse_known_args(words, namespace)
        if unknown:
            known = self._list_options(options) if unknown[0].startswith("-") else ()
            self.error(
                f"unrecognized arguments: {' '.join(unknown)}"
                + suggest(unknown[0].partition("=")[0], known)
            )
        return options

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse what is known; also called for a command's own options."""
        self._words = sys.argv[1:] if args is None else args
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Refuse the command line, for the reason that argparse gives."""
        if message.startswith("the following arguments are required"):
            # misspelt, most likely
            options = list_words(self)
            for word in (one.partition("=")[0] for one in self._words if one.startswith("--")):
                if word not in options and (near := suggest(word, options)):
                    message = f"unrecognized arguments: {word}{near}"
        if wrong := _WRONG_COMMAND.match(message):
            word = self.synonyms.get(wrong[1], wrong[1])
            known = [*list_commands(self), *list_words(self)]
            message = f"unknown command {wrong[1]!r}{suggest(word, known)}"
        self.refuse(message)

    def refuse(self, message: str) -> NoReturn:
        """Print ``message`` and how to get help, and exit."""
        self.exit(2, f"{self.prog}: {message}; see `{self.prog} --help`\n")

    def _list_options(self, options: argparse.Namespace) -> list[str]:
        """Return the options of this parser and of the command that ``options`` names."""
        command = list_commands(self).get(getattr(options, "command", None) or "")
        return [*list_words(self), *(list_words(command) if command else ())]


def suggest(word: str, known: Iterable[str]) -> str:
    """Return ``, did you mean …?`` with the nearest of the known words; "" if none is near."""
    near = find_nearest(word, known)
    return f", did you mean {near!r}?" if near else ""


def find_nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word that ``word`` may be a misspelling of; "" if none is near."""
    import difflib  # late: a pilot that runs never needs it

    # what somebody misspelt is short; the comparison takes the square of the length
    near = difflib.get_close_matches(word[:40], list(known), n=1, cutoff=0.7)
    return near[0] if near else ""


def list_commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each command, by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
        if action.dest in ("command", "topic") and action.choices:  # one that only names them
            return dict.fromkeys(map(str, action.choices), parser)
    return {}


def list_words(parser: argparse.ArgumentParser) -> list[str]:
    """Return a parser's options, and the values that a positional argument may have."""
    found: list[str] = []
    for action in parser._actions:
        if action.help == argparse.SUPPRESS or isinstance(action, argparse._SubParsersAction):
            continue
        found += action.option_strings or [str(each) for each in action.choices or ()]
    return found


class _PrintVersion(argparse.Action):
    """Print the program's name and version, and exit."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        _namespace: object,
        _values: object,
        _option: str | None = None,
    ) -> NoReturn:
        print(parser.prog, read_version() or "(not installed)")
        parser.exit()


def add_version(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--version``."""
    parser.add_argument("--version", action=_PrintVersion, nargs=0, help="print it and exit")


def read_version() -> str | None:
    """Return the version of the distribution; None where it is not installed."""
    import importlib.metadata  # late: it takes a while, and some MB

    try:
        return importlib.metadata.version("plancton-grid")
    except importlib.metadata.PackageNotFoundError:
        return None


def describe_no_thread(error: BaseException) -> str:
    """Say that the node gives no thread, and what limits them; "" for any other error."""
    # Python has no class of its own for it
    if not isinstance(error, RuntimeError) or str(error) != "can't start new thread":
        return ""
    return (
        "no thread can be started: this user, service or node has as many processes as it may "
        "(ulimit -u, TasksMax, kernel.threads-max)"
    )


def describe_missing_library(error: ModuleNotFoundError, extra: str) -> str:
    """Say which library is missing, and which extra of the distribution brings it."""
    library = (error.name or str(error)).partition(".")[0]
    return (
        f"the Python library {library!r} is not installed; "
        f"install plancton-grid with the extra `{extra}`, which brings it"
    )
