"""Jobs as rows of the ledger's table, and rows as jobs or their ads."""

from __future__ import annotations

from typing import Any, Final

from thyme.protocol.job import JobId
from vobox.classad.ad import Ad
from vobox.jobs.job import Job
from vobox.jobs.status import COMPLETED, REMOVED

from .changes import Changes
from .compression import Compressor, Dictionaries
from .stored_ad import NO_COLUMNS, Columns, StoredAd, encode_ad

#: Attributes that make a job one to look at from time to time.
_POLICIES: Final = (
    "PeriodicHold", "PeriodicRelease", "PeriodicRemove", "AllowedJobDuration",
    "AllowedExecuteDuration",
)  # fmt: skip

#: What ``decode_job`` reads, in this order.
JOB_COLUMNS: Final = (
    "cluster, proc, uid, gid, pool, status, attempt, queued, worker, ended, losses, lease, "
    "has_result, in_queue, left_at, life, failed_starts, dead_letters, version, submitted, "
    "recorded, changes, dictionary, ad"
)
#: What is not said by the ad.
_STATE: Final = (
    "uid", "gid", "pool", "status", "attempt", "queued", "worker", "ended", "losses", "lease",
    "has_result", "in_queue", "left_at", "life", "failed_starts", "dead_letters", "version",
    "submitted", "recorded",
)  # fmt: skip
_STORED_AD: Final = ("changes", "dictionary", "ad")
_WRITTEN: Final = (
    "cluster", "proc", "owner", *_STATE, "has_policy", "qdate", "batch", "procs", "cmd",
    "columns_match", *_STORED_AD,
)  # fmt: skip
#: Writes what ``encode_job`` gives; not by REPLACE, which would write every index again.
PUT_JOB: Final = (
    f"INSERT INTO jobs({','.join(_WRITTEN)}) VALUES({','.join('?' * len(_WRITTEN))}) "
    "ON CONFLICT(cluster, proc) DO UPDATE SET "
    + ",".join(f"{name}=excluded.{name}" for name in _WRITTEN[2:])
)
#: Writes what ``encode_state`` gives.
PUT_STATE: Final = (
    f"UPDATE jobs SET {','.join(f'{name}=?' for name in (*_STATE, *_STORED_AD))},"  # noqa: S608
    "has_policy=max(has_policy,?) WHERE cluster=? AND proc=?"
)

#: What ``decode_ad`` reads, at the end of a row: first the columns that stand for attributes.
AD_COLUMNS: Final = (
    "CAST(cluster AS TEXT), CAST(proc AS TEXT), CAST(status AS TEXT), '\"' || owner || '\"', "
    "qdate, batch, procs, cmd, columns_match, changes, dictionary, ad"
)
_SHOWN: Final = (
    "clusterid", "procid", "jobstatus", "owner", "qdate", "jobbatchname", "totalsubmitprocs", "cmd"
)  # fmt: skip
#: Attributes that are in other columns, too.
_IN_COLUMNS: Final = {*_SHOWN, *(name.lower() for name in _POLICIES)}
_COLUMNS: Final = Columns({name: place - 12 for place, name in enumerate(_SHOWN)})


def encode_job(job: Job, compressor: Compressor) -> tuple[object, ...]:
    """Return the values for ``PUT_JOB``."""
    ad = job.ad
    owner = _storable(ad.text("Owner"))
    shown = [ad.get(name) for name in ("QDate", "JobBatchName", "TotalSubmitProcs", "Cmd")]
    stored = [None if text is None else _storable(text) for text in shown]
    columns_match = (
        ad.get("ClusterId") == str(job.id.cluster)
        and ad.get("ProcId") == str(job.id.proc)
        and ad.get("JobStatus") == str(job.status)
        and ad.get("Owner") == f'"{owner}"'
        and owner.isascii()  # SQLite compares these alone without regard to case
        and shown == stored
    )
    # leave_in_queue keeps ended jobs for as long as it says
    has_policy = job.status in (COMPLETED, REMOVED) or any(name in ad for name in _POLICIES)
    return (
        *job.id, owner, *_list_state(job), 1 if has_policy else 0, *stored,
        1 if columns_match else 0, None, *compressor.compress(("ad", owner), encode_ad(ad)),
    )  # fmt: skip


def may_keep_columns(changes: Changes, job: Job) -> bool:
    """Return whether ``PUT_STATE`` is enough for a job whose ad has these changes."""
    touched = (changes.deleted | changes.written.keys()) & _IN_COLUMNS
    if "jobstatus" not in touched:
        return not touched
    return len(touched) == 1 and changes.written["jobstatus"][1] == str(job.status)


def encode_state(job: Job, stored: tuple[int | None, int | None, bytes]) -> tuple[object, ...]:
    """Return the values for ``PUT_STATE``; ``stored``: its ad, as ``StoredAd.stored``."""
    # leave_in_queue keeps ended jobs for as long as it says
    has_policy = 1 if job.status in (COMPLETED, REMOVED) else 0
    return (*_list_state(job), *stored, has_policy, *job.id)


def _list_state(job: Job) -> tuple[object, ...]:
    # no bool: each would be looked up among the adapters of the database's module
    return (
        job.uid, job.gid, job.pool, job.status, job.attempt,
        1 if job.queued else 0, job.worker, job.ended, job.losses, job.lease,
        1 if job.has_result else 0, 1 if job.in_queue else 0, job.left_at, job.life,
        job.failed_starts, job.dead_letters, job.version, job.submitted, job.recorded,
    )  # fmt: skip


def decode_job(row: tuple[Any, ...], dictionaries: Dictionaries) -> Job:
    """Make the job of a row of ``JOB_COLUMNS``."""
    (cluster, proc, uid, gid, pool, status, attempt, queued, worker, ended, losses, lease,
     has_result, in_queue, left_at, life, failed_starts, dead_letters, version, submitted, recorded,
     _changes, _dictionary, _ad) = row  # fmt: skip
    return Job(
        id=JobId(cluster, proc),
        uid=uid,
        gid=gid,
        pool=pool,
        ad=StoredAd(dictionaries, row),
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
        life=life,
        failed_starts=failed_starts,
        dead_letters=dead_letters,
        version=version,
        submitted=submitted,
        recorded=recorded,
    )


def decode_ad(row: tuple[Any, ...], dictionaries: Dictionaries) -> Ad:
    """Make the ad of a row that ends with ``AD_COLUMNS``."""
    return StoredAd(dictionaries, row, _COLUMNS if row[-4] else NO_COLUMNS)


def _storable(text: str) -> str:
    """Return the text as SQLite can store it."""
    return text.encode("utf-8", "replace").decode()
