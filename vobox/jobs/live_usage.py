"""What running jobs have used so far, by their workers' last word.

It is not in the stream and not in the ledger: thousands of heartbeats a minute
would fill both, and the end of a run tells the same for good. A schedd that
starts again knows it after one heartbeat.
"""

from __future__ import annotations

from collections.abc import Mapping

from thyme.protocol.events import Usage
from thyme.protocol.job import JobId
from vobox.classad.ad import literal

_NOTHING: Mapping[str, str] = {}


class Live:
    """One thread writes; ``attributes`` may be called from any."""

    def __init__(self) -> None:
        self._attributes: dict[JobId, Mapping[str, str]] = {}
        self._logged: dict[JobId, int] = {}

    def heard(self, job: JobId, usage: Usage, now: float) -> None:
        """``now``: epoch seconds."""
        self._attributes[job] = attributes_of(usage, now)

    def forget(self, job: JobId) -> None:
        self._attributes.pop(job, None)
        self._logged.pop(job, None)

    def size_to_log(self, job: JobId, usage: Usage) -> int:
        """KiB to tell the user log of: at first, and when it grew by a quarter; else 0."""
        memory = max(usage.peak_rss, usage.rss)
        # a leak must not write a line a minute for days
        if memory * 4 <= self._logged.get(job, 0) * 5:
            return 0
        self._logged[job] = memory
        return memory

    def attributes(self, job: JobId) -> Mapping[str, str]:
        """Attribute → ClassAd text, over those of the job's ad; empty without news."""
        return self._attributes.get(job, _NOTHING)


def attributes_of(usage: Usage, now: float) -> Mapping[str, str]:
    """The attributes that HTCondor's shadow updates while a job runs.

    RemoteWallClockTime is not among them: it grows when a run ends. 0 KiB means
    that nobody could measure, and says nothing.
    """
    ad = {
        "RemoteUserCpu": literal(round(usage.user_cpu, 6)),
        "RemoteSysCpu": literal(round(usage.system_cpu, 6)),
        "LastJobLeaseRenewal": literal(int(now)),
    }
    memory = max(usage.peak_rss, usage.rss)
    if memory:
        # an image is at least what of it was ever in memory; more is not measured
        for name in ("ResidentSetSize", "ImageSize"):
            ad[name] = ad[name + "_RAW"] = literal(memory)
        ad["MemoryUsage"] = "((ResidentSetSize + 1023) / 1024)"
    if usage.disk:
        ad["DiskUsage"] = ad["DiskUsage_RAW"] = literal(usage.disk)
    return ad


#: All that ``attributes_of`` can tell, in lower case.
NAMES = frozenset(name.lower() for name in attributes_of(Usage(1.0, 1.0, 1.0, 1, 1, 1), 1.0))
