"""Which jobs a query selects."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from vobox.classad.ad import Ad, quote
from vobox.classad.expressions import Evaluator, compile_expression
from vobox.ledger.constraint_to_sql import narrowed
from vobox.ledger.sql_conditions import ALWAYS, Comparison, Condition, Every, Some
from vobox.rpc.types import QueueView

_JOB_ID = re.compile(r"(\d+)(?:\.(\d+))?\Z", re.ASCII)
_SIMPLE_OWNER = re.compile(r"[A-Za-z0-9_.@+-]+\Z")
#: Owners of one search; SQLite limits the parts of an expression.
_MAX_OWNERS = 200


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
        """Add a positional argument: ``12``, ``12.0`` or an owner (the empty one has no jobs)."""
        match = _JOB_ID.match(word)
        if match is None:
            self.owners.append(word)
        else:
            cluster, proc = match.groups()
            self.ids.append((_strip_zeros(cluster), None if proc is None else _strip_zeros(proc)))

    def keep_statuses(self, statuses: Iterable[str]) -> None:
        """Select only jobs with one of these JobStatus values, and of those selected before."""
        wanted = frozenset(statuses)
        self.statuses = wanted if self.statuses is None else self.statuses & wanted

    def find_clusters(self) -> list[int] | None:
        """Return the only clusters that can hold a selected job; None if that is not known."""
        if self.owners or not self.ids:
            return None
        # An id of 19 digits is no job's, and no integer that a database holds.
        return sorted({int(cluster) for cluster, _ in self.ids if len(cluster) < 19})

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

    def find(
        self, view: QueueView, evaluator: Evaluator, names: Collection[str] | None = None
    ) -> Iterator[Ad]:
        """Yield the selected jobs of the queue; every call looks again.

        :param names: lower-case attributes that will be read; None for all
        """
        if not view.is_plain():
            return self.filter(view.jobs(self.find_clusters()), evaluator)
        only, rest = self._split(view, evaluator)
        needed = rest._find_needed_names()
        if names is not None and needed is not None:
            names = {*names, *needed} - {name.lower() for name in evaluator.extra}
        else:
            names = None
        return rest.filter(view.jobs(rest.find_clusters(), names, only), evaluator)

    def render_rows(
        self, view: QueueView, evaluator: Evaluator, row: Sequence[tuple[str, str]]
    ) -> Iterator[str] | None:
        """Yield rows of (text, attribute) pairs from the ledger's columns alone.

        :return: None if the columns do not decide the selection or do not hold the attributes
        """
        if not {attribute for _text, attribute in row if attribute} <= ALWAYS:
            return None
        if self.ids or not view.is_plain():
            return None
        only, rest = self._split(view, evaluator)
        return None if rest.owners or rest.constraints else view.texts(row, only, self.limit)

    def _split(self, view: QueueView, evaluator: Evaluator) -> tuple[Condition, Selection]:
        """Split the selection into what the ledger decides and what has to be evaluated."""
        known: list[Condition] = []
        asked: list[Condition] = []
        rest = replace(self, statuses=None, owners=list(self.owners), constraints=[])
        if self.statuses is not None:
            wanted = sorted(int(status) for status in self.statuses)
            known.append(Some(tuple(Comparison("jobstatus", "==", each) for each in wanted)))
        if not self.ids and 0 < len(self.owners) < _MAX_OWNERS and "@" not in "".join(self.owners):
            known.append(Some(tuple(Comparison("owner", "==", each) for each in self.owners)))
            rest.owners = []
        for constraint in self.constraints:
            found = narrowed(constraint)
            known.append(found.condition)
            if found.exact:
                continue
            condition, exact = _decide_by_groups(view, evaluator, constraint)
            known.append(condition)
            if exact:
                continue
            if (tested := view.tested(constraint, evaluator)) is not None:
                asked.append(tested)
            else:
                rest.constraints.append(constraint)
        # in this order: what costs nothing decides first
        return Every((*known, *asked)), rest

    def _find_needed_names(self) -> set[str] | None:
        """Return the names that ``filter`` reads; None if that is not known."""
        names: set[str] = set()
        if self.ids:
            names |= {"clusterid", "procid"}
        if self.owners:
            names |= {"clusterid", "procid", "owner", "user"}
        for constraint in self.constraints:
            compiled = compile_expression(constraint)
            if compiled.unbounded:
                return None
            names.update(compiled.names)
        return names

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
            cluster = ad.get("ClusterId", "")
            return (
                cluster in clusters
                or (cluster, ad.get("ProcId")) in jobs
                or (bool(owners) and ad.get("Owner", "").lower() in owners)
                or (bool(users) and ad.get("User", "").lower() in users)
            )

        return is_named


def _decide_by_groups(
    view: QueueView, evaluator: Evaluator, constraint: str
) -> tuple[Condition, bool]:
    """Return a condition that the selected jobs fulfil, and whether no other job does.

    Jobs that are equal in every attribute that the constraint reads are decided together.
    """
    compiled = compile_expression(constraint)
    groups = None if compiled.unbounded else view.groups(compiled.names)
    if groups is None:
        return Every(()), False
    chosen = [alike for alike, ad in groups.alike if evaluator.holds(ad, constraint)]
    if not groups.others and len(chosen) == len(groups.alike):
        return Every(()), True
    return Some((*chosen, *groups.others)), not groups.others


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
