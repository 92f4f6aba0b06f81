"""Plancton's errors, and the exit codes of its commands.

    PlanctonError             1   any other error of Plancton
    ├── BadUsage              2   the command line is wrong
    ├── NotRunning            3   no daemon runs on this node (status codes as in the LSB)
    ├── ConfigError           4   the configuration is missing, unreadable or wrong
    ├── AlreadyRunning        5   another daemon holds this run directory
    └── EngineError           6   what runs the pilots
        ├── EngineUnavailable     does not answer now (may pass by itself)
        │   └── EngineTimeout     ... within the time that it has for it
        ├── EngineRefused         answered with an error
        │   ├── NotThere          what was asked for is not there
        │   │   └── NoSuchImage
        │   ├── Conflict          it is not in a state for that
        │   └── OutOfDisk         the engine's disk is full
        └── StartFailed           would not start this pilot

Each text is made for an admin: what is wrong, where, and what to do.  They
are caught at one place, the end of ``planctonctl``.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of ``planctonctl`` and ``plancton-bootstrap``."""

    OK = 0  #: done; for ``status`` and ``explain``: the daemon runs
    FAILED = 1  #: anything not named below
    USAGE = 2  #: unknown command or option
    NOT_RUNNING = 3  #: the command needs a running daemon
    CONFIG = 4  #: the configuration is missing or wrong
    ALREADY_RUNNING = 5  #: another daemon holds the run directory
    ENGINE = 6  #: the engine is not there or refused


class PlanctonError(Exception):
    """Any error of Plancton."""

    exit_code: ExitCode = ExitCode.FAILED


class BadUsage(PlanctonError):
    """The command line is wrong."""

    exit_code = ExitCode.USAGE


class NotRunning(PlanctonError):
    """The command needs a running daemon."""

    exit_code = ExitCode.NOT_RUNNING


class ConfigError(PlanctonError):
    """One or more problems of a configuration, one line each.

    They go into the log and into the status, whatever somebody has written: only so many are told,
    and of a long one its beginning and its end.
    """

    exit_code = ExitCode.CONFIG
    #: Problems that are told, and the characters of each.
    MOST, LONGEST = 50, 500

    def __init__(self, *problems: str) -> None:
        told = [self._shorten(problem) for problem in problems[: self.MOST]]
        if len(problems) > self.MOST:
            told.append(f"and {len(problems) - self.MOST} more problems")
        super().__init__("\n".join(told))
        self.problems = tuple(told)

    @classmethod
    def _shorten(cls, problem: str) -> str:
        if len(problem) <= cls.LONGEST:
            return problem
        return f"{problem[: cls.LONGEST - 203]}...{problem[-200:]}"


class AlreadyRunning(PlanctonError):
    """Another daemon holds the run directory."""

    exit_code = ExitCode.ALREADY_RUNNING


class EngineError(PlanctonError):
    """The engine failed."""

    exit_code = ExitCode.ENGINE


class EngineUnavailable(EngineError):
    """The engine does not answer: the number of pilots is unknown, which is not zero."""


class EngineTimeout(EngineUnavailable):
    """The engine did not answer in time: whether it did what was asked is unknown."""


class EngineRefused(EngineError):
    """The engine answered with an error."""


class NotThere(EngineRefused):
    """What was asked for is not there."""


class NoSuchImage(NotThere):
    """The image is not there."""


class Conflict(EngineRefused):
    """The container or image is not in a state for what was asked."""


class OutOfDisk(EngineRefused):
    """The engine's disk is full."""


class StartFailed(EngineError):
    """One pilot could not be started; others may be."""
