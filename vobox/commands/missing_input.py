"""Complete released jobs whose input was missing when they were submitted.

Input travels with the job's message. So when such a job is released, its input is looked for
again, with its owner's rights, and the whole job is recorded again; if it is still missing, the job
is held again.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from thyme.errors import BadMessage
from thyme.protocol import codec
from thyme.protocol.events import JobMessage, Recorded
from thyme.protocol.hold_codes import HoldReasonCode
from thyme.protocol.job import JobId, Task
from vobox.classad.ad import Ad
from vobox.jobs.job import Job
from vobox.jobs.status import HELD
from vobox.rpc.types import OwnerFiles

from .submit.errors import SubmitError
from .submit.input_files import FileCache, JobFiles

#: Jobs whose input is read at one release; the others are held again.
MAX_JOBS: Final = 1000
#: Bytes of files of the records that are in memory together, but for the last one.
BATCH_BYTES: Final = 16 * 1024 * 1024
_HOLD: Final = ("HoldReason", "HoldReasonCode", "HoldReasonSubCode")


def is_incomplete(job: Job) -> bool:
    """Return whether the job was held when it was submitted, because its input was missing."""
    code = job.ad.number("HoldReasonCode")
    has_run = job.ad.number("NumJobStarts") > 0
    return job.status == HELD and code == HoldReasonCode.TRANSFER_INPUT_ERROR and not has_run


def complete_jobs(
    jobs: list[Job],
    read_task: Callable[[JobId], bytes | None],
    open_files: Callable[[int, int], OwnerFiles],
) -> Iterator[list[JobMessage]]:
    """Yield the records of the jobs whose input is there now, as many as memory has room for.

    :param jobs: incomplete ones
    :param read_task: returns the message that submitted a job
    :param open_files: returns the files of a user, by uid and gid
    """
    records: list[JobMessage] = []
    size = 0
    stores: dict[tuple[int, int], FileCache] = {}
    for job in jobs[:MAX_JOBS]:
        body = read_task(job.id)
        try:
            first = codec.decode(body) if body else None
        except BadMessage:
            continue
        if not isinstance(first, Recorded) or "HoldReasonCode" not in first.ad:
            continue
        store = stores.setdefault((job.uid, job.gid), FileCache(open_files(job.uid, job.gid)))
        try:
            task = _read_input(Ad(first.ad), first.task, store)
        except (OSError, SubmitError):
            continue  # still missing, or too large
        ad = {name: text for name, text in first.ad.items() if name not in _HOLD}
        records.append(replace(first, ad=ad, task=task))
        size += sum(len(file.data) for file in task.files)
        if size >= BATCH_BYTES:
            yield records
            records, size = [], 0
    if records:
        yield records


def _read_input(ad: Ad, task: Task, store: FileCache) -> Task:
    """Return the task with all its input; raises OSError or SubmitError."""
    files = JobFiles(store)
    iwd, keep = ad.text("Iwd", "/"), ad.get("PreserveRelativePaths", "false") == "true"
    for item in filter(None, map(str.strip, ad.text("TransferInput").split(","))):
        files.add_entry(item, iwd, keep)
    source = ad.text("In") or os.devnull
    stdin = task.stdin
    if source != os.devnull and ad.get("TransferIn", "true").lower() != "false":
        stdin = posixpath.basename(source)
        files.add(stdin, store.read(posixpath.join(iwd, source)), 0o644)
    # what was there at the submit stays as it was, the executable and the credentials above all
    for file in task.files:
        if not file.is_directory:
            files.add(file.name, file.data, file.mode)
    return replace(task, files=files.files, stdin=stdin)
