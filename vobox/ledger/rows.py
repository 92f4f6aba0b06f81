"""A row of the ledger's table of jobs: as a job, and as it lies there."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from thyme.protocol.job import JobId
from vobox.jobs.job import Job

from .ad_templates import Shape, Templates

#: What ``job_of`` is made of.
COLUMNS: Final = (
    "cluster, proc, uid, gid, pool, status, attempt, queued, worker, ended, losses, lease, "
    "has_result, in_queue, left_at, shape, ad"
)


class Row(NamedTuple):
    """A job as it lies in the ledger; ``values``: of its shape, as ``row_values`` writes them."""

    id: JobId
    status: int
    number: int
    shape: Shape
    values: str


def job_of(row: tuple[Any, ...], templates: Templates) -> Job:
    (cluster, proc, uid, gid, pool, status, attempt, queued, worker, ended, losses, lease,
     has_result, in_queue, left_at, shape, ad) = row  # fmt: skip
    return Job(
        id=JobId(cluster, proc),
        uid=uid,
        gid=gid,
        pool=pool,
        ad=templates.ad(shape, ad),
        status=status,
        attempt=attempt,
        queued=bool(queued),
        worker=worker,
        ended=ended,
        losses=losses,
        lease=lease,
        has_result=bool(has_result),
        in_queue=bool(in_queue),
        left_at=left_at,
    )
