"""Resource usage of running jobs, from the last heartbeats of their workers.

It is neither in the stream nor in the ledger: thousands of heartbeats a minute
would fill both, and the end of a run reports the final numbers. A schedd that
restarts knows it again after one heartbeat interval.
"""

from __future__ import annotations

from collections.abc import Mapping

from thyme.protocol.events import Usage
from thyme.protocol.job import JobId
from vobox.classad.ad import literal

from .ad_updates import build_size_attributes

_NOTHING: Mapping[str, str] = {}


class LiveUsage:
    """The usage by job. One thread writes; ``attributes`` may be called from any."""

    def __init__(self) -> None:
        self._attributes: dict[JobId, Mapping[str, str]] = {}
        self._cpu_seconds: dict[JobId, float] = {}
        self._logged: dict[JobId, int] = {}

    def update(self, job: JobId, usage: Usage, now: float) -> None:
        """Remember a heartbeat's usage; ``now``: epoch seconds."""
        self._attributes[job] = build_attributes(usage, now)
        self._cpu_seconds[job] = usage.user_cpu + usage.system_cpu

    def forget(self, job: JobId) -> None:
        """Drop the usage of a run that is over."""
        self._attributes.pop(job, None)
        self._cpu_seconds.pop(job, None)
        self._logged.pop(job, None)

    def take_size_to_log(self, job: JobId, usage: Usage) -> int:
        """Return KiB for an image size event: at first and after growth by a quarter; else 0."""
        memory = max(usage.peak_rss, usage.rss)
        # a leak must not write a line a minute for days
        if memory * 4 <= self._logged.get(job, 0) * 5:
            return 0
        self._logged[job] = memory
        return memory

    def cpu_seconds(self, job: JobId) -> float:
        """Return the CPU seconds of the present attempt; 0 before its first heartbeat."""
        return self._cpu_seconds.get(job, 0.0)

    def attributes(self, job: JobId) -> Mapping[str, str]:
        """Return attribute → ClassAd text, which override the ad's; empty before a heartbeat."""
        return self._attributes.get(job, _NOTHING)


def build_attributes(usage: Usage, now: float) -> Mapping[str, str]:
    """Make the attributes that HTCondor's shadow updates while a job runs.

    RemoteWallClockTime is not among them: it grows when a run ends. 0 KiB means
    that it could not be measured, and sets no attribute.
    """
    ad = {
        "RemoteUserCpu": literal(round(usage.user_cpu, 6)),
        "RemoteSysCpu": literal(round(usage.system_cpu, 6)),
        "LastJobLeaseRenewal": literal(int(now)),
    }
    return ad | build_size_attributes(usage)
