"""The command line of ``thyme-vobox``."""

import difflib
import errno
import fcntl
import os
import signal
import sys
from typing import List, Optional

from hostfiles.private_directory import check_shared_directory

from . import links
from .credentials import check_credentials
from .health import check_health
from .processes import System, log
from .run import Supervisor
from .settings import VARIABLES, BadSettings, Settings, Variable, read_settings

COMMANDS = ("run", "health", "settings")
USAGE = """\
usage: thyme-vobox [run|health|settings]

  run       wait for the schedd and the credentials, then keep a CE running (the default)
  health    print one line: healthy, or what is wrong; exit code 0 or 1
  settings  print the environment variables that configure it
  --version print the version

exit codes of run:
  0  stopped by SIGTERM or SIGINT
  3  no schedd answered within SCHEDD_TIMEOUT
  4  no good credentials within CREDENTIALS_TIMEOUT
  5  its own directory VOBOX_DIR cannot be used, or another thyme-vobox runs with it
  6  a setting is missing or wrong
"""


def main(arguments: Optional[List[str]] = None) -> int:
    """Run ``thyme-vobox``; returns the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    command = words[0] if words else "run"
    if command in ("-h", "--help"):
        return _print(USAGE)
    if command == "--version":
        return _print("thyme-vobox %s\n" % _read_version())
    if command not in COMMANDS or len(words) > 1:
        near = difflib.get_close_matches(command, COMMANDS, 1)
        hint = ", did you mean %r?" % near[0] if near and len(words) == 1 else ""
        sys.stderr.write(
            "thyme-vobox: unknown arguments: %s%s\n%s" % (" ".join(words), hint, USAGE)
        )
        return 6
    if command == "settings":
        return _print("".join(_line(one) for one in VARIABLES))
    try:
        settings = read_settings(os.environ, os.geteuid(), links.find_python(""))
    except BadSettings as error:
        for line in str(error).splitlines():
            sys.stderr.write("thyme-vobox: %s\n" % line)
        return 6
    if command == "health":
        code, line = check_health(settings)
        sys.stdout.write(line + "\n")
        return code
    return _run(settings)


def _read_version() -> str:
    try:
        from importlib import metadata  # since Python 3.8

        return metadata.version("plancton-grid")
    except ImportError:  # also: not installed
        return "(not installed)"


def _line(one: Variable) -> str:
    default = " (%s)" % one.default if one.default else ""
    return "%-20s %s%s\n" % (one.name, one.meaning, default)


def _print(text: str) -> int:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads the output; avoid a second error at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


def _lock(directory: str) -> None:
    """Lock the directory until this process ends, however it does; raises OSError."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        # two would keep two CEs running
        raise OSError(errno.EBUSY, "another thyme-vobox runs with it") from None


def _run(settings: Settings) -> int:
    try:
        os.makedirs(settings.directory, exist_ok=True)
        # the commands in it are run as the CE's user
        check_shared_directory(settings.directory, settings.user.uid)
        _lock(settings.directory)
        made = links.write_commands(os.path.join(settings.directory, "bin"), settings.python)
    except OSError as error:
        sys.stderr.write(
            "thyme-vobox: VOBOX_DIR=%s cannot be used: %s\n"
            % (settings.directory, error.strerror or error)
        )
        return 5
    log("vobox", "CE %s as %s; %d condor commands first on PATH" % (
        settings.kind, settings.user.name, len(made)
    ))  # fmt: skip
    # not SIG_IGN, because the CE would inherit that
    signal.signal(signal.SIGHUP, lambda number, frame: None)
    other = settings.as_root and settings.user.uid != 0
    system = System(settings.user if other else None)
    return Supervisor(settings, system, check_credentials, lambda text: log("vobox", text)).run()


if __name__ == "__main__":
    sys.exit(main())
