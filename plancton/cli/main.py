"""``planctonctl``: parse the command line and call the command's function."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import ClassVar, NoReturn

from commandline.parser import Parser, describe_missing_library, describe_no_thread
from commandline.units import parse_size, parse_time
from plancton import __version__
from plancton.errors import ExitCode, PlanctonError
from plancton.paths import Paths

#: command: (module, function, what it does)
COMMANDS = {
    "start": ("daemon", "start", "start the daemon in the background"),
    "force-start": ("daemon", "force_start", "end a drain, try pilots again, and start"),
    "nodaemon": ("daemon", "nodaemon", "run in the foreground, log to stdout"),
    "stop": ("stopping", "stop", "end the daemon; pilots go on and are adopted by the next one"),
    "force-stop": ("stopping", "force_stop", "end every pilot and the daemon, now"),
    "drain": ("stopping", "drain", "start no new pilots; running ones end by themselves"),
    "drain-stop": ("stopping", "drain_stop", "drain, and end the daemon after the last pilot"),
    "resume": ("stopping", "resume", "end a drain, and try pilots again"),
    "retry": ("stopping", "retry", "forget that pilots failed or found no work; try them again"),
    "reload": ("stopping", "reload", "read the configuration now, and say whether it is good"),
    "status": ("show", "status", "what runs"),
    "explain": ("show", "explain", "one sentence per rule: why pilots start, or do not"),
    "logs": ("logs", "logs", "what a pilot printed, also one of the last that ended"),
    "top": ("top", "top", "what runs, shown again every few seconds"),
    "health": ("health", "health", "0 if the daemon works, 1 if not (for a HEALTHCHECK)"),
    "report": ("report", "report", "the node's last day as one HTML page"),
    "validate": ("check", "validate", "check a configuration and show what it gives here"),
    "simulate": ("simulate", "simulate", "what the configuration would do with a recorded load"),
    "completion": ("completion", "completion", "print the completion script of bash or zsh"),
    "help": ("", "", "this text"),
}
#: Seconds of a wait that nothing limits.
_NO_LIMIT = 1e9
#: Waiting jobs, and CPUs of a node, that a simulation takes.
_MOST_SIMULATED = 10_000
#: They print a page or a script, or run until they are ended.
_WITHOUT_JSON = ("nodaemon", "report", "completion", "help")
#: They print a document of their own with --json.
_OWN_JSON = ("status", "explain", "top", "health", "validate", "simulate", "logs")
#: They read what the daemon wrote.
_SHOW_STATUS = ("status", "explain", "top", "health")
SHELLS = ("bash", "zsh")
_EXIT_CODES = """\
exit codes:
  0  done (status, explain, top: the daemon runs; health: it works)
  1  failed
  2  wrong command line
  3  the daemon does not run
  4  the configuration is missing or wrong
  5  another daemon holds the run directory
  6  the engine is not there or refused

All configuration keys: planctonctl validate --schema
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code (``errors.ExitCode``)."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if arguments.command == "help" and arguments.topic:
        return main([arguments.topic, "--help"])
    if arguments.command in (None, "help"):
        parser.print_help()
        return ExitCode.OK if arguments.command else ExitCode.USAGE
    if arguments.json and arguments.command in _WITHOUT_JSON:
        parser.error(f"{arguments.command} has no --json")
    module, function, _ = COMMANDS[arguments.command]
    paths = Paths.choose(
        user=arguments.user,
        logdir=arguments.logdir,
        rundir=arguments.rundir,
        confdir=arguments.confdir,
        pidfile=arguments.pidfile,
        config_url=os.environ.get("PLANCTON_CONF_URL", ""),
    )
    try:
        # Only what this command needs: `status` must not wait for the configuration's libraries.
        run: Callable[[Paths, argparse.Namespace], int] = getattr(
            import_module(f"plancton.cli.{module}"), function
        )
        if arguments.json and arguments.command not in _OWN_JSON:
            return _run_as_json(run, paths, arguments)
        return run(paths, arguments)
    except ModuleNotFoundError as error:
        print(f"planctonctl: {describe_missing_library(error, 'node')}", file=sys.stderr)
        return ExitCode.FAILED
    except PlanctonError as error:
        for line in str(error).splitlines():
            print(f"planctonctl: {line}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.FAILED
    except RuntimeError as error:
        if not (why := describe_no_thread(error)):
            raise
        print(f"planctonctl: {why}", file=sys.stderr)
        return ExitCode.FAILED
    except BrokenPipeError:
        # The reader went away (`| head`); say nothing, and let no flush say it either.
        sys.stdout = None
        return ExitCode.FAILED
    except Exception as error:
        if arguments.command not in _SHOW_STATUS or not _is_of_another_version(paths):
            raise
        # what it wrote may lack anything
        why = " ".join(f"{type(error).__name__}: {error}".split())
        print(
            f"planctonctl: {paths.status}: not as this version writes it ({why}); restart the "
            "daemon, which writes it anew",
            file=sys.stderr,
        )
        return ExitCode.FAILED


def _is_of_another_version(paths: Paths) -> bool:
    # late: most commands need neither
    from plancton.daemon.status_document import VERSION

    from .document import read_document

    document = read_document(paths)
    return document is not None and document.get("version") != VERSION


def _run_as_json(
    run: Callable[[Paths, argparse.Namespace], int], paths: Paths, arguments: argparse.Namespace
) -> int:
    """Run a command that says what it did, and print that and its exit code as JSON."""
    told = io.StringIO()
    error = ""
    try:
        with contextlib.redirect_stdout(told):
            code = int(run(paths, arguments))
    except PlanctonError as problem:
        code, error = int(problem.exit_code), str(problem)
    found = {"command": arguments.command, "exit_code": code, "error": error}
    print(json.dumps({**found, "text": told.getvalue().splitlines()}))
    return code


class _Parser(Parser):
    """A parser whose errors end with Plancton's exit code."""

    synonyms: ClassVar[Mapping[str, str]] = {
        "check": "validate", "config": "validate", "enable": "resume", "info": "status",
        "kill": "force-stop", "list": "status", "monitor": "top", "ps": "status",
        "restart": "start", "uncordon": "resume", "undrain": "resume", "why": "explain",
    }  # fmt: skip

    def refuse(self, message: str) -> NoReturn:
        """Print one line and exit."""
        self.exit(ExitCode.USAGE, f"planctonctl: {message}; see `planctonctl help`\n")


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Prints each command and what it does on one line."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=22)
        self._action_max_length = 15  # argparse forgets that commands are indented


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of planctonctl's command line."""
    parser = _Parser(
        prog="planctonctl",
        description="Runs pilots on the idle CPUs of this node.",
        epilog=_EXIT_CODES,
        formatter_class=_HelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"plancton {__version__}")
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    _places(parser, None, False)
    commands = parser.add_subparsers(dest="command", metavar="command", title="commands")
    for name, (_, _, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        # Also after the command; without a default of its own, which would hide the first.
        _places(command, argparse.SUPPRESS, argparse.SUPPRESS)
        if name not in _WITHOUT_JSON:
            command.add_argument(
                "--json", action="store_true", default=argparse.SUPPRESS, help="for programs"
            )
        _own_options(name, command.add_argument)
    return parser


def _own_options(command: str, add: Callable[..., object]) -> None:
    if command == "start":
        add("--wait", type=_seconds, help=argparse.SUPPRESS)
    elif command in ("drain", "drain-stop"):
        add(
            "--wait",
            type=_seconds,
            nargs="?",
            const=_NO_LIMIT,
            metavar="S",
            help="return when all pilots have ended, or fail after S seconds",
        )
        add(
            "--deadline",
            type=_seconds,
            metavar="S",
            help="end the pilots that are still running after S seconds, and wait for them",
        )
    elif command == "completion":
        add("shell", choices=SHELLS, help="the shell that will read it")
    elif command == "help":
        add("topic", nargs="?", choices=[*COMMANDS], metavar="command", help="explain this one")
    elif command == "nodaemon":
        add("--log-file", action="store_true", help=argparse.SUPPRESS)
    elif command == "validate":
        add("file", nargs="?", help="file or URL, instead of CONFDIR/config.yaml")
        add("--schema", action="store_true", help="print the JSON schema of a configuration")
    elif command == "top":
        add("--interval", type=_interval, default=2.0, metavar="S", help="time between two (2)")
        add("--count", type=_positive, metavar="N", help="end after N (a terminal: never; else 1)")
    elif command == "logs":
        add("pilot", nargs="?", help="its name, or what follows plancton-worker-; else list them")
        add("--lines", type=_positive, metavar="N", help="the last N lines only")
    elif command == "report":
        add(
            "--output",
            default="plancton-report.html",
            metavar="F",
            help="where to write it (plancton-report.html); -: to stdout",
        )
    elif command == "simulate":
        add("trace", help="what owners used, one line a node; may be a .gz (--owner)")
        add(
            "--owner",
            choices=("cpu", "whole"),
            default="cpu",
            help="cpu: the trace holds percentages of CPU use; whole: begin and end, in seconds, "
            "of each time in which he used the whole node, memory included (cpu)",
        )
        add(
            "--jobs",
            metavar="L",
            help="how long jobs are: a file with a length in seconds a line, or fixed:SECONDS, "
            "exponential:MEAN, lognormal:MEDIAN,SIGMA, uniform:LEAST,MOST (they never end)",
        )
        add("--job-memory", type=_bytes, metavar="BYTES", help="that a pilot uses (max_dock_mem)")
        add(
            "--claim",
            choices=("any", "fitting", "lanes"),
            default="any",
            help="which job a pilot takes: any; the first that fits into the time that it was "
            "told; or the first of the longest lane that fits (any)",
        )
        add("--waiting", type=_simulated, default=50, metavar="N", help="jobs to choose from (50)")
        add("--seed", type=int, default=1, metavar="N", help="of the jobs' lengths (1)")
        add("--html", metavar="F", help="write a page with a picture there, too")
        add("--config", metavar="F", help="instead of CONFDIR/config.yaml")
        add("--step", type=_interval, default=300.0, metavar="S", help="between two values (300)")
        add("--cpu-idle", action="store_true", help="as where cpu.idle protects the owner")
        add("--nodes", type=_positive, default=10, metavar="N", help="lines to replay (10)")
        add("--ncpus", type=_simulated, metavar="N", help="CPUs of a node (those of this one)")
        add("--ram", type=_bytes, metavar="BYTES", help="its memory (that of this one)")


def _interval(text: str) -> float:
    value = _seconds(text)
    if value > 86400:
        raise argparse.ArgumentTypeError("must be 0.1 to 86400 seconds")
    return value


def _seconds(text: str) -> float:
    with_unit = parse_time(text)
    try:
        value = float(text) if with_unit is None else with_unit
    except ValueError:
        value = 0.0
    if not 0.1 <= value < _NO_LIMIT:
        raise argparse.ArgumentTypeError("must be 0.1 s or more, e.g. 90, 90s, 30min or 12h")
    return value


def _bytes(text: str) -> int:
    return parse_size(text) or _positive(text)


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError("must be a whole number, 1 or more")
    return value


def _simulated(text: str) -> int:
    """Return a number of waiting jobs or CPUs that a simulation can bear."""
    if (value := _positive(text)) > _MOST_SIMULATED:
        raise argparse.ArgumentTypeError(f"must be {_MOST_SIMULATED} or less")
    return value


def _places(parser: argparse.ArgumentParser, nothing: str | None, no: object) -> None:
    add = parser.add_argument
    add("--user", action="store_true", default=no, help="use ~/.plancton, also as root")
    add("--logdir", metavar="D", default=nothing, help="log files (/var/log/plancton)")
    add("--rundir", metavar="D", default=nothing, help="state and flags (/var/run/plancton)")
    add(
        "--confdir",
        metavar="D",
        default=nothing,
        help="config.yaml (/etc/plancton), or the URL of one ($PLANCTON_CONF_URL)",
    )
    add(
        "--pidfile",
        metavar="F",
        default=nothing,
        help="pid of the daemon (/var/run/plancton.pid; with --user RUNDIR/plancton.pid)",
    )


if __name__ == "__main__":
    raise SystemExit(main())
