"""The ads of the schedd, the collector and the masters, as HTCondor's collector has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from vobox.classad.ad import Ad, quote
from vobox.client.version import CONDOR_PLATFORM, CONDOR_VERSION
from vobox.commands.schedd_names import get_host
from vobox.jobs.status import HELD, IDLE, REMOVED, SUSPENDED
from vobox.rpc.types import QueueView

from .totals import count_running

COUNTS = ("TotalRunningJobs", "TotalIdleJobs", "TotalHeldJobs")


def build_schedd_ad(view: QueueView, now: float) -> Ad:
    """Return the schedd's ad, with counts of all users' jobs; ``now``: epoch seconds."""
    counts = view.count_jobs()
    return Ad(
        {
            **_build_daemon_attributes("Scheduler", view.schedd_name, now),
            "MyAddress": quote(view.address),
            "ScheddIpAddr": quote(view.address),
            **{name: str(number) for name, number in _count_jobs(counts).items()},
            "TotalRemovedJobs": str(counts.get(REMOVED, 0)),
            "TotalJobAds": str(sum(counts.values())),
        }
    )


def build_collector_ad(view: QueueView, now: float) -> Ad:
    """Return the ad of the pool that our schedd stands for by itself."""
    run, idle, _held = _count_jobs(view.count_jobs()).values()
    return Ad(
        {
            **_build_daemon_attributes("Collector", get_host(view.schedd_name), now),
            "MyAddress": quote(view.address),
            "RunningJobs": str(run),
            "IdleJobs": str(idle),
            "HostsTotal": str(sum(1 for _ in view.read_slots())),
        }
    )


def build_master_ads(view: QueueView, now: float) -> Iterator[Ad]:
    """Yield an ad for each machine that has a slot, and one for the schedd's own."""
    machines = {get_host(view.schedd_name)} | {ad.text("Machine") for ad in view.read_slots()}
    for machine in sorted(machines):
        yield Ad(_build_daemon_attributes("DaemonMaster", machine, now))


def build_submitter_ads(view: QueueView, now: float) -> Iterator[Ad]:
    """Yield an ad for each user with jobs in the queue, with their numbers."""
    counts: dict[str, Counter[int]] = {}
    for ad in view.read_jobs():
        user = ad.text("User") or ad.text("Owner")
        counts.setdefault(user, Counter())[ad.number("JobStatus")] += 1
    for user in sorted(counts):
        run, idle, held = _count_jobs(counts[user]).values()
        yield Ad(
            {
                **_build_daemon_attributes("Submitter", user, now),
                "Machine": quote(get_host(view.schedd_name)),
                "ScheddName": quote(view.schedd_name),
                "ScheddIpAddr": quote(view.address),
                "RunningJobs": str(run),
                "IdleJobs": str(idle),
                "HeldJobs": str(held),
            }
        )


def _build_daemon_attributes(kind: str, name: str, now: float) -> dict[str, str]:
    moment = str(int(now))
    return {
        "MyType": quote(kind),
        "Name": quote(name),
        "Machine": quote(get_host(name)),
        "CondorVersion": quote(CONDOR_VERSION),
        "CondorPlatform": quote(CONDOR_PLATFORM),
        "MyCurrentTime": moment,
        "LastHeardFrom": moment,
    }


def _count_jobs(counts: Mapping[int, int]) -> dict[str, int]:
    # A suspended job has its pilot still; AliEn means pilots by "running".
    on_a_node = count_running(counts) + counts.get(SUSPENDED, 0)
    return dict(zip(COUNTS, (on_a_node, counts.get(IDLE, 0), counts.get(HELD, 0)), strict=True))
