"""What can go wrong in Plancton, and with which exit code the commands say so.

    PlanctonError             1   anything else of ours
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
    """Anything of ours."""

    exit_code: ExitCode = ExitCode.FAILED


class BadUsage(PlanctonError):
    exit_code = ExitCode.USAGE


class NotRunning(PlanctonError):
    exit_code = ExitCode.NOT_RUNNING


class ConfigError(PlanctonError):
    """One or more problems of a configuration, one line each."""

    exit_code = ExitCode.CONFIG

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class AlreadyRunning(PlanctonError):
    exit_code = ExitCode.ALREADY_RUNNING


class EngineError(PlanctonError):
    exit_code = ExitCode.ENGINE


class EngineUnavailable(EngineError):
    """The engine does not answer: how many pilots run is unknown, which is not zero."""


class EngineTimeout(EngineUnavailable):
    """No answer in time: whether it was done is not known."""


class EngineRefused(EngineError):
    """The engine answered with an error."""


class NotThere(EngineRefused):
    pass


class NoSuchImage(NotThere):
    pass


class Conflict(EngineRefused):
    pass


class OutOfDisk(EngineRefused):
    """The engine's disk is full."""


class StartFailed(EngineError):
    """This pilot was not started; others may be."""
