"""The demo CE's exit codes and the errors that carry one.

CeError
├── BadUse       2   the command line is wrong
└── SiteMute     3   the site's condor commands gave no usable answer in time
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    OK = 0  #: every agent ended as it was meant to, or somebody removed it
    NOT_AS_MEANT = 1  #: an agent ended otherwise, or had not ended when the time was over
    BAD_USE = 2  #: wrong option or value
    SITE_MUTE = 3  #: the site never answered, or took no agent
    INTERRUPTED = 130  #: SIGINT
    TERMINATED = 143  #: SIGTERM


class CeError(Exception):
    """The text is one line that says what is wrong and what to do."""

    exit_code: ExitCode = ExitCode.NOT_AS_MEANT


class BadUse(CeError):
    exit_code = ExitCode.BAD_USE


class SiteMute(CeError):
    exit_code = ExitCode.SITE_MUTE
