"""The broker's users as messages name them: RabbitMQ takes no message under another user's name.

A worker's password opens one pool, and lies on every node of it. Routing keys do not keep it from
writing of other pools' jobs: a queue or an exchange of its own leads to a key of any kind.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from .lanes import get_pool

#: The schedd's user, as ``thyme-admin roles`` makes it.
VOBOX: Final = "vobox"
#: The pool of a worker that names none, and of the role that is called ``worker``.
DEFAULT_POOL: Final = "alien_jobs"


def make_worker_user(pool: str) -> str:
    """Return the name of the user for a pool's workers, who can take its jobs and no others.

    It is a file's name too, so a slash and the like are written as in a URL.
    """
    return "worker" if pool == DEFAULT_POOL else f"worker-{quote(pool, safe='')}"


def may_report(user: str | None, pool: str) -> bool:
    """Return whether a message of this user may be about a job of this pool.

    :param user: as the broker has checked it; "" where the message names none; None where that
        is not known: on a broker whose users were not made by ``thyme-admin roles``
    :param pool: the job's, or its lane's queue
    """
    return user is None or user in (VOBOX, make_worker_user(get_pool(pool)))
