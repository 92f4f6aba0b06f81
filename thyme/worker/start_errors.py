"""Why a job does not start: an error of the job, or of the node.

An error of the job holds it, with HTCondor's codes; on the next node it would
fail as well. An error of the node (a full disk, no more processes) requeues the job
and ends the worker.
"""

from __future__ import annotations

import errno

from thyme.errors import NodeUnfit
from thyme.protocol.events import HoldReason
from thyme.protocol.hold_codes import HoldReasonCode

#: Errors of the node; every other one is an error of the job.
_NODE_ERRNOS = frozenset(
    {
        errno.EAGAIN, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE,
        errno.ENOMEM, errno.ENOSPC, errno.EROFS, errno.ESTALE,
    }
)  # fmt: skip
#: Characters of a hold reason: it may repeat the job's arguments, which may be megabytes.
_MAX_REASON = 2000


class CannotStart(Exception):
    """The job cannot be run at all, here or anywhere; ``hold`` says why."""

    def __init__(self, hold: HoldReason) -> None:
        super().__init__(hold.text)
        self.hold = hold


def translate_start_error(
    error: Exception, code: HoldReasonCode, what: str, cause: str = ""
) -> NodeUnfit | CannotStart:
    """Return what to raise for ``error``.

    ``code``: the hold code of this step; ``what``: the text before the reason; ``cause``: what
    is known beyond the error's number.
    """
    number = getattr(error, "errno", None) or 0
    if number in _NODE_ERRNOS:
        return NodeUnfit(one_line(f"{what}: {error}"))
    reason = getattr(error, "strerror", None) or str(error)
    text = one_line(what, f": {cause}(errno={number}: '{reason}')")
    return CannotStart(HoldReason(code, number, text))


def one_line(text: str, end: str = "") -> str:
    """Join ``text`` and ``end`` to one line of bounded length; ``end`` is kept whole."""
    text = " ".join(text.splitlines())
    room = _MAX_REASON - len(end)
    return (text if len(text) <= room else text[: room - 3] + "...") + end
