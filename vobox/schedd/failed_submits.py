"""Clusters whose condor_submit was told of an error, although the broker may have taken jobs.

The line can break after the broker has taken some of the jobs, or all, and before it has said
so. condor_submit then fails, and whoever called it submits again, as another cluster. So what
was taken is removed as soon as it is read back.

A cluster is remembered only after its submit has failed. A note made before publishing could,
after a power cut, remove jobs that were accepted.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from typing import Final

from thyme.protocol.events import Removed
from vobox.jobs.status import REMOVED
from vobox.ledger.writer import Ledger

log = logging.getLogger(__name__)

REASON: Final = "condor_submit failed: the broker did not confirm it, and the job was not accepted"
#: Clusters remembered; only one that breaks a line is ever added.
MOST: Final = 200
_META: Final = "refused"


class FailedSubmits:
    def __init__(self, schedd: str, ledger: Ledger) -> None:
        self._schedd = schedd
        self._ledger = ledger
        self._clusters: list[int] = json.loads(ledger.meta(_META, "[]"))

    def add(self, cluster: int) -> None:
        """Whatever is read back of this cluster is to be removed."""
        self._clusters = [*self._clusters, cluster][-MOST:]
        try:
            with self._ledger.transaction():
                self._ledger.set_meta(_META, json.dumps(self._clusters))
        except sqlite3.Error as error:
            log.warning(
                "cluster %d is refused, and only remembered until we end: %s", cluster, error
            )

    def to_remove(self, now: float) -> list[Removed]:
        """The events for what has been read back of them since; ``now``: epoch seconds."""
        return [
            Removed(self._schedd, job.id, now, REASON, force=False)
            for cluster in self._clusters
            for job in self._ledger.in_queue(cluster=cluster)
            if job.status != REMOVED
        ]
