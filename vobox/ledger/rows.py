"""Jobs as rows of the ledger's table, and rows as jobs or their ads."""

from __future__ import annotations

from dataclasses import fields
from operator import attrgetter
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

#: Attributes of a job that are columns: those that are true or false, and the others.
_FLAGS: Final = ("queued", "has_result", "in_queue")
_VALUES: Final = tuple(each.name for each in fields(Job) if each.name not in ("id", "ad", *_FLAGS))
_get_values: Final = attrgetter(*_VALUES)
#: What is not said by the ad.
_STATE: Final = (*_VALUES, *_FLAGS)
#: What ``decode_job`` reads, in this order.
JOB_COLUMNS: Final = f"cluster, proc, {', '.join(_STATE)}, changes, dictionary, ad"
_WRITTEN: Final = (
    "cluster", "proc", "owner", *_STATE, "has_policy", "qdate", "batch", "procs", "cmd",
    "columns_match", "changes", "dictionary", "ad",
)  # fmt: skip
#: Writes what ``encode_job`` gives; not by REPLACE, which would write every index again.
PUT_JOB: Final = (
    f"INSERT INTO jobs({','.join(_WRITTEN)}) VALUES({','.join('?' * len(_WRITTEN))}) "
    "ON CONFLICT(cluster, proc) DO UPDATE SET "
    + ",".join(f"{name}=excluded.{name}" for name in _WRITTEN[2:])
)
#: Writes what ``encode_state`` gives; the ad's text in the ledger stays.
PUT_STATE: Final = (
    f"UPDATE jobs SET {','.join(f'{name}=?' for name in (*_STATE, 'changes'))},"  # noqa: S608
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


def has_columns(changes: Changes) -> bool:
    """Return whether something that was changed is in other columns than the ad's own, too."""
    return not _IN_COLUMNS.isdisjoint(changes.deleted | changes.written.keys())


def may_keep_columns(changes: Changes, job: Job) -> bool:
    """Return whether ``PUT_STATE`` is enough for a job whose ad has these changes."""
    touched = (changes.deleted | changes.written.keys()) & _IN_COLUMNS
    if "jobstatus" not in touched:
        return not touched
    return len(touched) == 1 and changes.written["jobstatus"][1] == str(job.status)


def encode_state(job: Job, changes: int | None) -> tuple[object, ...]:
    """Return the values for ``PUT_STATE``; ``changes``: the number of those of the stored ad."""
    # leave_in_queue keeps ended jobs for as long as it says
    has_policy = 1 if job.status in (COMPLETED, REMOVED) else 0
    return (*_list_state(job), changes, has_policy, *job.id)


def _list_state(job: Job) -> tuple[object, ...]:
    # no bool: each would be looked up among the adapters of the database's module
    return (
        *_get_values(job),
        1 if job.queued else 0, 1 if job.has_result else 0, 1 if job.in_queue else 0,
    )  # fmt: skip


def decode_job(row: tuple[Any, ...], dictionaries: Dictionaries) -> Job:
    """Make the job of a row of ``JOB_COLUMNS``."""
    cluster, proc, *values, queued, has_result, in_queue, _changes, _dictionary, _ad = row
    return Job.of_values(
        zip(_VALUES, values, strict=True),
        id=JobId(cluster, proc),
        ad=StoredAd(dictionaries, row),
        queued=bool(queued),
        has_result=bool(has_result),
        in_queue=bool(in_queue),
    )


def decode_ad(row: tuple[Any, ...], dictionaries: Dictionaries) -> Ad:
    """Make the ad of a row that ends with ``AD_COLUMNS``."""
    return StoredAd(dictionaries, row, _COLUMNS if row[-4] else NO_COLUMNS)


def _storable(text: str) -> str:
    """Return the text as SQLite can store it."""
    return text.encode("utf-8", "replace").decode()
