"""A constraint as a function that SQLite calls for each job that columns cannot decide about."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from thyme.protocol.job import JobId
from vobox.classad.ad import Ad, ParseError
from vobox.classad.bound_expression import Prepared, plain, plain_value
from vobox.classad.expressions import Evaluator, number_of
from vobox.classad.literals import NOT_LITERAL

from . import row_codec
from .ad_shapes import Part

#: The ad of a job, given its id, its JobStatus, and the number of its shape with its row.
Whole = Callable[[JobId, int, int, str], Ad]


class _Asked(NamedTuple):
    """What is asked of the jobs of one shape; ``prepared``: None where only whole ads will do."""

    prepared: Prepared | None
    #: places among the columns, and among the row's values
    columns: tuple[int, ...]
    places: tuple[int, ...]
    #: so many of the row's values have to be read
    most: int


class Tester:
    """``columns``: lower-case names whose values the function is given, after the job's own."""

    def __init__(
        self,
        constraint: str,
        evaluator: Evaluator,
        parts: Mapping[int, Part],
        columns: Sequence[str],
        whole: Whole,
    ) -> None:
        self._constraint = constraint
        self._evaluator = evaluator
        self._columns = columns
        self._whole = whole
        self._asked = {number: self._prepared(part) for number, part in parts.items()}

    def __call__(
        self, shape: int, row: str, cluster: int, proc: int, status: int, *columns: Any
    ) -> bool:
        """Whether the constraint selects that job."""
        prepared, of_columns, places, most = self._asked[shape]
        if prepared is not None:
            values = [plain(columns[place]) for place in of_columns]
            if places:
                texts = row_codec.first(row, most)
                values += [plain_value(texts[place]) for place in places]
            value = prepared.value(values)
            if value is not NOT_LITERAL:
                return bool(number_of(value))
        ad = self._whole(JobId(cluster, proc), status, shape, row)
        return self._evaluator.holds(ad, self._constraint)

    def _prepared(self, part: Part) -> _Asked:
        columns = [place for place, name in enumerate(self._columns) if name in part.reached]
        places = [place for place, _low, _name in part.own]
        own = [*(self._columns[place] for place in columns), *(low for _p, low, _n in part.own)]
        common = {low: text for low, (_name, text) in part.same.items() if text and low not in own}
        try:
            prepared = Prepared(self._constraint, common, own, self._evaluator.now)
        except (ParseError, ValueError):
            prepared = None
        return _Asked(prepared, tuple(columns), tuple(places), max(places, default=-1) + 1)
