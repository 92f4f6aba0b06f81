"""The errors of ``thyme-admin`` beside the broker's, and its exit codes."""

from __future__ import annotations

from enum import IntEnum

from thyme.errors import ThymeError


class AdminExitCode(IntEnum):
    """Exit codes; the broker's 4 and the bad invocation's 6 are the worker's too."""

    OK = 0
    NOT_DONE = 1  #: refused, found otherwise, or done in part: the text says which
    BROKER = 4
    FILES = 5
    BAD_INVOCATION = 6


class NotDone(ThymeError):
    """A command was not carried out, for a reason that the operator has to settle."""

    admin_exit = AdminExitCode.NOT_DONE


class FilesUnusable(ThymeError):
    """A file cannot be read or written, or does not hold what it should."""

    admin_exit = AdminExitCode.FILES
