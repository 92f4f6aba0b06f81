"""The demo's exit codes, and the exceptions that carry one.

DemoError
├── BadUse   2   an option or the directory is wrong
├── Busy     3   another demo has the directory
└── Broken   1   a program of the site did not come up or did not obey
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of ``make demo``."""

    OK = 0  #: every job is what it should be
    MISMATCH = 1  #: something differed, or the site broke down
    BAD_USE = 2
    BUSY = 3
    # 128 + N: ended by signal N (SIGHUP, SIGINT, SIGQUIT, SIGTERM)


class DemoError(Exception):
    """The text is one line that says what is wrong and where to look."""

    exit_code: ExitCode = ExitCode.MISMATCH


class BadUse(DemoError):
    """The command line cannot be used."""

    exit_code = ExitCode.BAD_USE


class Busy(DemoError):
    """Another demo runs in this directory."""

    exit_code = ExitCode.BUSY


class Broken(DemoError):
    """The site broke down, or a job ended otherwise than it should."""

    exit_code = ExitCode.MISMATCH
