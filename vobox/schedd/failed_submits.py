"""Clusters whose condor_submit failed although the broker may have taken some of the jobs.

The connection can break after the broker has taken some of the jobs, or all, and before it
has confirmed them. condor_submit then fails, and a CE submits the jobs again as another
cluster. So what the broker took of the first is removed as soon as it is read back.

The jobs of a submit are queued one after the other, of a large one in slices. Its cluster is noted
before the first one, and until the last one is queued: a schedd that is killed in between removes
those that were. The cluster of one job is noted only after its submit has failed.
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
        #: those whose submit goes on
        self._under_way: set[int] = set()

    def begin(self, cluster: int) -> None:
        """Note that only some jobs of the cluster are queued; raises sqlite3.Error."""
        self._under_way.add(cluster)
        with self._ledger.surviving_power_cuts():
            self._note([*self._clusters, cluster])

    def complete(self, cluster: int) -> None:
        """Take the note away: all jobs are queued. Raises sqlite3.Error."""
        if cluster in self._under_way:
            with self._ledger.surviving_power_cuts():
                self._note([each for each in self._clusters if each != cluster])
            self._under_way.discard(cluster)

    def give_up(self, cluster: int) -> None:
        """Let the jobs of a submit that ``begin`` noted be removed; from any thread."""
        self._under_way.discard(cluster)

    def _note(self, clusters: list[int]) -> None:
        with self._ledger.transaction():
            self._ledger.write_meta(_META, json.dumps(clusters[-MAX_CLUSTERS:]))
        self._clusters = clusters[-MAX_CLUSTERS:]

    def add(self, cluster: int) -> None:
        """Remember that whatever is read back of this cluster is to be removed."""
        clusters = [*(each for each in self._clusters if each != cluster), cluster]
        try:
            self._note(clusters)
        except sqlite3.Error as error:
            self._clusters = clusters[-MAX_CLUSTERS:]
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
            if cluster not in self._under_way
            for job in self._ledger.read_queue(cluster=cluster)
            if job.status != REMOVED
        ]
