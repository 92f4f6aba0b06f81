"""Clusters whose condor_submit failed although the broker may have taken some of the jobs.

The connection can break after the broker has taken some of the jobs, or all, and before it
has confirmed them. condor_submit then fails, and a CE submits the jobs again as another
cluster. So what the broker took of the first is removed as soon as it is read back.

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
#: Clusters remembered: only submits that break a connection are added.
MAX_CLUSTERS: Final = 200
_META: Final = "refused"


class FailedSubmits:
    """The clusters, kept in the ledger."""

    def __init__(self, schedd: str, ledger: Ledger) -> None:
        self._schedd = schedd
        self._ledger = ledger
        self._clusters: list[int] = json.loads(ledger.read_meta(_META, "[]"))

    def add(self, cluster: int) -> None:
        """Remember that whatever is read back of this cluster is to be removed."""
        self._clusters = [*self._clusters, cluster][-MAX_CLUSTERS:]
        try:
            with self._ledger.transaction():
                self._ledger.write_meta(_META, json.dumps(self._clusters))
        except sqlite3.Error as error:
            log.warning(
                "cluster %d failed, which is remembered only until the schedd ends: %s",
                cluster,
                error,
            )

    def list_removals(self, now: float) -> list[Removed]:
        """Return the events that remove what was read back of them; ``now``: epoch seconds."""
        return [
            Removed(self._schedd, job.id, now, REASON, force=False)
            for cluster in self._clusters
            for job in self._ledger.list_queue(cluster=cluster)
            if job.status != REMOVED
        ]
