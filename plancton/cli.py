"""``planctonctl``: reads the command line and hands over to one small module per group."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NoReturn

from plancton.errors import ExitCode, PlanctonError
from plancton.paths import Paths

#: command: (module, function, what it does)
COMMANDS = {
    "start": ("daemon", "start", "start the daemon in the background"),
    "force-start": ("daemon", "force_start", "end a drain, then start"),
    "nodaemon": ("daemon", "nodaemon", "run in the foreground, log to stdout"),
    "stop": ("stopping", "stop", "end the daemon; pilots go on and are adopted by the next one"),
    "force-stop": ("stopping", "force_stop", "end every pilot and the daemon, now"),
    "drain": ("stopping", "drain", "start no new pilots; running ones end by themselves"),
    "drain-stop": ("stopping", "drain_stop", "drain, and end the daemon after the last pilot"),
    "resume": ("stopping", "resume", "end a drain"),
    "status": ("show", "status", "what runs"),
    "explain": ("show", "explain", "one sentence per rule: why pilots start, or do not"),
    "validate": ("check", "validate", "check a configuration and show what it gives here"),
    "help": ("", "", "this text"),
}
_EXIT_CODES = """\
exit codes:
  0  done (status, explain: the daemon runs)
  1  failed
  2  wrong command line
  3  the daemon does not run
  4  the configuration is missing or wrong
  5  another daemon holds the run directory
  6  the engine is not there or refused

All configuration keys: docs/reference/plancton-config.md
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code (``errors.ExitCode``)."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command in (None, "help"):
        parser.print_help()
        return ExitCode.OK if arguments.command else ExitCode.USAGE
    module, function, _ = COMMANDS[arguments.command]
    paths = Paths.choose(
        user=arguments.user,
        logdir=arguments.logdir,
        rundir=arguments.rundir,
        confdir=arguments.confdir,
        pidfile=arguments.pidfile,
    )
    # Only what this command needs: `status` must not wait for the configuration's libraries.
    run: Callable[[Paths, argparse.Namespace], int] = getattr(
        import_module(f"plancton.commands.{module}"), function
    )
    try:
        return run(paths, arguments)
    except PlanctonError as error:
        for line in str(error).splitlines():
            print(f"planctonctl: {line}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.FAILED
    except BrokenPipeError:
        # The reader went away (`| head`); say nothing, and let no flush say it either.
        sys.stdout = None
        return ExitCode.FAILED


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(ExitCode.USAGE, f"planctonctl: {message}; see `planctonctl help`\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="planctonctl",
        description="Runs pilots in the idle rest of this node.",
        epilog=_EXIT_CODES,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(
            prog, max_help_position=22
        ),
        allow_abbrev=False,
    )
    _places(parser, None, False)
    commands = parser.add_subparsers(dest="command", metavar="command", title="commands")
    for name, (_, _, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        # Also after the command; without a default of its own, which would hide the first.
        _places(command, argparse.SUPPRESS, argparse.SUPPRESS)
        if name in ("status", "explain"):
            command.add_argument("--json", action="store_true", help="for programs")
        if name == "start":
            command.add_argument("--wait", type=float, default=20.0, help=argparse.SUPPRESS)
        if name == "nodaemon":
            command.add_argument("--log-file", action="store_true", help=argparse.SUPPRESS)
        if name == "validate":
            command.add_argument("file", nargs="?", help="instead of CONFDIR/config.yaml")
    return parser


def _places(parser: argparse.ArgumentParser, nothing: str | None, no: object) -> None:
    add = parser.add_argument
    add("--user", action="store_true", default=no, help="use ~/.plancton, also as root")
    add("--logdir", metavar="D", default=nothing, help="log files (/var/log/plancton)")
    add("--rundir", metavar="D", default=nothing, help="state and flags (/var/run/plancton)")
    add("--confdir", metavar="D", default=nothing, help="config.yaml (/etc/plancton)")
    add("--pidfile", metavar="F", default=nothing, help="pid of the daemon")


if __name__ == "__main__":
    raise SystemExit(main())
