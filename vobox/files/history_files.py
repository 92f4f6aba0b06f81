"""Write a file for each job that left the queue, for clients that read these (ARC).

As in HTCondor's PER_JOB_HISTORY_DIR: ``history.C.P`` holds the job's ad as
``Attr = value`` lines. They are a copy for others: nothing here reads them,
and nobody but the site's administrator removes them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path

from vobox.jobs.job import Job

log = logging.getLogger(__name__)


class HistoryFiles:
    """The directory of the files."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._has_failed = False

    def write(self, job: Job) -> None:
        """Write the job's file, whole or not at all; a failure is logged and stops nothing."""
        name = f"history.{job.id}"
        lines = "".join(f"{attribute} = {text}\n" for attribute, text in sorted(job.ad.items()))
        new = self._directory / f".{name}.new"
        try:
            new.write_bytes(lines.encode("utf-8", "surrogateescape"))
            new.chmod(0o644)  # they are for others to read
            new.replace(self._directory / name)
        except OSError as error:
            if not self._has_failed:
                log.warning("history file %s: %s", self._directory / name, error.strerror)
            self._has_failed = True
        else:
            self._has_failed = False

    def complete(self, jobs: Iterable[Job]) -> None:
        """Write the files that are missing, after a start."""
        try:
            there = set(os.listdir(self._directory))  # noqa: PTH208 (only names, of many)
        except OSError as error:
            log.warning("directory of history files %s: %s", self._directory, error.strerror)
            return
        for job in jobs:
            if f"history.{job.id}" not in there:
                self.write(job)
