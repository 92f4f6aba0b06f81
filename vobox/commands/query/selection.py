"""Which jobs a query selects."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from vobox.classad.ad import Ad, quote
from vobox.classad.expressions import Evaluator
from vobox.rpc.types import QueueView

_JOB_ID = re.compile(r"(\d+)(?:\.(\d+)?)?\Z", re.ASCII)
_SIMPLE_OWNER = re.compile(r"[A-Za-z0-9_.+-]+\Z")


@dataclass
class Selection:
    """Ids and owners are alternatives (none means every job); all else must hold as well."""

    #: (cluster, proc or None for the whole cluster), as ad text
    ids: list[tuple[str, str | None]] = field(default_factory=list)
    owners: list[str] = field(default_factory=list)
    #: JobStatus values as ad text; None for any
    statuses: frozenset[str] | None = None
    constraints: list[str] = field(default_factory=list)
    #: how many jobs at most; None for all
    limit: int | None = None

    def add_word(self, word: str) -> None:
        """Add a positional argument: ``12``, ``12.``, ``12.0`` or an owner ("": of no jobs)."""
        match = _JOB_ID.match(word)
        if match is None:
            self.owners.append(word)
        else:
            cluster, proc = match.groups()
            self.ids.append((_strip_zeros(cluster), None if proc is None else _strip_zeros(proc)))

    def find_clusters(self) -> list[int] | None:
        """Return the only clusters that can hold a selected job; None if that is not known."""
        if self.owners or not self.ids:
            return None
        # an id of 19 digits is no job's and no integer that a database holds; 0 is no job's either
        return sorted({int(cluster) if len(cluster) < 19 else 0 for cluster, _ in self.ids})

    @property
    def is_whole_owners(self) -> bool:
        """Whether this selects all jobs of some owners (or of all), no others."""
        return not self.ids and self._is_unconditional

    @property
    def is_whole_clusters(self) -> bool:
        """Whether no job of a cluster is left out while another one is selected."""
        return self._is_unconditional and all(proc is None for _, proc in self.ids)

    @property
    def _is_unconditional(self) -> bool:
        return not self.constraints and self.statuses is None and self.limit is None

    def find(self, view: QueueView, evaluator: Evaluator) -> Iterator[Ad]:
        """Yield the selected jobs of the queue; every call looks again."""
        statuses = None if self.statuses is None else [int(status) for status in self.statuses]
        # SQLite compares ASCII alone without regard to case; "user@domain" is another attribute
        by_owner = not self.ids and all(map(_SIMPLE_OWNER.match, self.owners))
        owners = self.owners if self.owners and by_owner else None
        return self.filter(view.read_jobs(self.find_clusters(), owners, statuses), evaluator)

    def filter(self, ads: Iterable[Ad], evaluator: Evaluator) -> Iterator[Ad]:
        """Yield the selected ones of these jobs, in the order given."""
        chosen: Iterator[Ad] = iter(ads)
        if self.ids or self.owners:
            chosen = filter(self._build_name_test(), chosen)
        if self.statuses is not None:
            statuses = self.statuses
            chosen = (ad for ad in chosen if ad.get("JobStatus") in statuses)
        for constraint in self.constraints:
            chosen = _filter_by_constraint(chosen, evaluator, constraint)
        return chosen if self.limit is None else islice(chosen, self.limit)

    def _build_name_test(self) -> Callable[[Ad], bool]:
        clusters = {cluster for cluster, proc in self.ids if proc is None}
        jobs = {(cluster, proc) for cluster, proc in self.ids if proc is not None}
        # ``Owner == "x"`` ignores case, as every ClassAd comparison does.
        owners = {_format_owner(owner) for owner in self.owners if "@" not in owner}
        users = {_format_owner(owner) for owner in self.owners if "@" in owner}

        def is_named(ad: Ad) -> bool:
            if owners and ad.get("Owner", "").lower() in owners:
                return True
            if users and ad.get("User", "").lower() in users:
                return True
            if not self.ids:
                return False
            cluster = ad.get("ClusterId", "")
            return cluster in clusters or (cluster, ad.get("ProcId")) in jobs

        return is_named


def _filter_by_constraint(ads: Iterator[Ad], evaluator: Evaluator, constraint: str) -> Iterator[Ad]:
    return (ad for ad in ads if evaluator.holds(ad, constraint))


def _strip_zeros(digits: str) -> str:
    return digits.lstrip("0") or "0"


def _format_owner(owner: str) -> str:
    """Return how an ad writes this owner, in lower case."""
    if _SIMPLE_OWNER.match(owner):
        return f'"{owner}"'.lower()
    try:
        return quote(owner).lower()
    except ValueError:
        return ""  # not UTF-8: nobody's name
