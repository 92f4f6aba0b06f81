"""Tell whose fault it is when a job does not start: the job's or the node's.

The job's own faults hold it, with HTCondor's codes; on the next node it would
be the same. The node's faults (a full disk, no more processes) give the job
back and end the worker: the job is as good as before, this node is not.
"""

from __future__ import annotations

import errno

from thyme.errors import NodeUnfit
from thyme.protocol.events import HoldReason
from thyme.protocol.hold_codes import HoldReasonCode

#: What a node can do to any job; everything else is read as the job's own doing.
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
    error: Exception, code: HoldReasonCode, what: str
) -> NodeUnfit | CannotStart:
    """What to raise for ``error``, met while doing ``what``, which fails with hold ``code``."""
    number = getattr(error, "errno", None) or 0
    if number in _NODE_ERRNOS:
        return NodeUnfit(one_line(f"{what}: {error}"))
    reason = getattr(error, "strerror", None) or str(error)
    return CannotStart(HoldReason(code, number, one_line(what, f": (errno={number}: '{reason}')")))


def one_line(text: str, end: str = "") -> str:
    """``text`` and ``end`` as one line of bounded length; ``end`` is kept whole."""
    text = " ".join(text.splitlines())
    room = _MAX_REASON - len(end)
    return (text if len(text) <= room else text[: room - 3] + "...") + end
