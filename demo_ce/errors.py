"""The demo CE's exit codes and the errors that carry one.

CeError
├── UsageError   2   the command line or the site's configuration is wrong
└── NoAnswer     3   the site's condor commands took no agent
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of ``plancton-demo-ce``."""

    OK = 0  #: every agent ended as expected, or was removed
    FAILED = 1  #: an agent ended otherwise, or did not end in time
    USAGE_ERROR = 2  #: wrong option or value
    NO_ANSWER = 3  #: the site never answered, or took no agent
    INTERRUPTED = 130  #: SIGINT
    TERMINATED = 143  #: SIGTERM


class CeError(Exception):
    """An error whose text is one line: what is wrong and what to do."""

    exit_code: ExitCode = ExitCode.FAILED


class UsageError(CeError):
    """The command line or the site's configuration cannot be used."""

    exit_code = ExitCode.USAGE_ERROR


class NoAnswer(CeError):
    """The site took no agent: its commands failed."""

    exit_code = ExitCode.NO_ANSWER
