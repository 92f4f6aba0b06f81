"""The errors of thyme, and the exit codes of thyme-worker.

    ThymeError
    ├── BadInvocation        6   the command line or the environment is wrong
    ├── NodeUnfit            5   this node cannot run jobs
    ├── BrokerError          4   the broker
    │   ├── BrokerUnreachable    is not there (may pass)
    │   └── BrokerRefused        said no (will not pass by itself)
    │       └── InboxTaken           another connection has the inbox
    └── BadMessage               a message that cannot be read or must not be sent
        ├── UnknownVersion
        └── MessageTooLarge

Libraries' own errors are translated into these once, in the module that
imports the library.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The worker's exit codes; Plancton has these numbers in its configuration."""

    OK = 0  #: ran a job to its end, whatever the job's own exit code
    NO_WORK = 3  #: nothing to do within ``--timeout``
    BROKER = 4  #: broker unreachable, or it refused us
    NODE_UNFIT = 5  #: this node cannot run jobs (scratch not writable, ...)
    BAD_INVOCATION = 6  #: wrong option, no broker named, ...


class ThymeError(Exception):
    """Anything of ours; the text is one line that an admin can act on."""

    exit_code: ExitCode = ExitCode.BROKER


class BadInvocation(ThymeError):
    """The command line, the environment or the broker URL is wrong."""

    exit_code = ExitCode.BAD_INVOCATION


class NodeUnfit(ThymeError):
    """Jobs cannot run on this node."""

    exit_code = ExitCode.NODE_UNFIT


class BrokerError(ThymeError):
    """The broker cannot be used."""

    exit_code = ExitCode.BROKER


class BrokerUnreachable(BrokerError):
    """No broker at that place now; trying again may help."""


class BrokerRefused(BrokerError):
    """The broker answered, and the answer is no; trying again will not help."""


class InboxTaken(BrokerRefused):
    """Another connection has the inbox.

    ``seconds``: for which the broker may keep one whose process is dead; 0.0: it lives.
    """

    def __init__(self, text: str, seconds: float) -> None:
        super().__init__(text)
        self.seconds = seconds


class BadMessage(ThymeError):
    """A message that cannot be read, or must not be sent."""


class UnknownVersion(BadMessage):
    """A message of a version this program does not know."""


class MessageTooLarge(BadMessage):
    """A message over the size that the transport carries."""


def is_worth_a_line(number: int) -> bool:
    """Return whether the failure of this number is logged: who makes them must not fill the log.

    So are the first ten, and then the 16th, 32nd, 64th, ...
    """
    return number <= 10 or number & (number - 1) == 0
