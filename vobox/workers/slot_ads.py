"""Make the machine ads of slots that condor_status shows, with HTCondor's attributes.

A pilot is a static slot: it offers all that it has to one job after the other.
What no worker measures (MIPS, KFLOPS, KeyboardIdle) is absent, not 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from thyme.protocol.events import Machine
from vobox.classad.ad import Ad, literal
from vobox.jobs.status import RUNNING, SUSPENDED

from .slots import Slot, Slots

#: JobStatus → State and Activity of the slot that has the job.
_BUSY: Final = {RUNNING: ("Claimed", "Busy"), SUSPENDED: ("Claimed", "Suspended")}
#: Of a slot whose job was held, removed or vacated, and is still being ended.
_ENDING: Final = ("Preempting", "Vacating")


def slot_ads(
    slots: Slots, busy: Iterable[tuple[str, Ad]], schedd: str, now: float, wall: float
) -> Iterator[Ad]:
    """Yield an ad for each slot.

    ``busy``: the workers that have a job, with the job's ad; ``schedd``: its name; ``now``: the
    monotonic clock of ``slots``; ``wall``: epoch seconds.
    """
    machines = _MachineAttributes(wall)
    client = literal(schedd.rpartition("@")[2])
    working = set()
    for worker, job in busy:
        working.add(worker)
        yield _build_claimed_ad(worker, job, client, machines.get(slots.get_machine(worker)))
    for slot in slots.list_waiting(now):
        if slot.worker not in working:
            yield _build_unclaimed_ad(slot, machines.get(slot.machine))


def list_pilot_ads(slots: Slots, wall: float) -> Iterator[Mapping[str, str]]:
    """Yield what each known pilot says of itself, with a job or without; ``wall``: epoch seconds.

    Pilots that have not described their machine are left out.
    """
    machines = _MachineAttributes(wall)
    for slot in slots.list_known():
        if slot.machine is not None:
            yield {**machines.get(slot.machine), **_build_names(slot.host, slot.worker)}


class _MachineAttributes:
    """The attributes that the ads of equal machines share, made once."""

    def __init__(self, wall: float) -> None:
        self._time = str(int(wall))
        self._known: dict[Machine | None, Mapping[str, str]] = {}

    def get(self, machine: Machine | None) -> Mapping[str, str]:
        """Return the attributes of a machine; None: it is not known."""
        if machine not in self._known:
            self._known[machine] = self._build(machine)
        return self._known[machine]

    def _build(self, machine: Machine | None) -> Mapping[str, str]:
        ad = {
            "MyType": '"Machine"',
            "MyCurrentTime": self._time,
            "LastHeardFrom": self._time,
            "SlotType": '"Static"',
            "SlotTypeID": "0",
            "SlotID": "1",
            "PartitionableSlot": "false",
            "DynamicSlot": "false",
            "Start": "true",
            "Requirements": "Start",
            "Rank": "0.0",
        }
        if machine is None:
            return ad
        for name, value in (
            ("Cpus", machine.cpus), ("Memory", machine.memory), ("Disk", machine.disk),
        ):  # fmt: skip
            ad[name] = ad["Total" + name] = ad["TotalSlot" + name] = literal(value)
        ad |= {name: literal(value) for name, value in machine.list_system().items()}
        ad["LoadAvg"] = ad["TotalLoadAvg"] = literal(machine.load)
        return ad


def _build_names(host: str, worker: str) -> dict[str, str]:
    node = host.rpartition("@")[2]
    # who knows the whole name can send the worker mail: its last, random part stays ours
    shown = worker.rpartition("-")[0] or worker
    return {"Name": literal(host), "Machine": literal(node), "ThymeWorker": literal(shown)}


def _build_state(state: str, activity: str, since: int) -> dict[str, str]:
    return {
        "State": f'"{state}"',
        "Activity": f'"{activity}"',
        "EnteredCurrentState": str(since),
        "EnteredCurrentActivity": str(since),
    }


def _build_unclaimed_ad(slot: Slot, machine: Mapping[str, str]) -> Ad:
    return Ad(
        {
            **machine,
            **_build_names(slot.host, slot.worker),
            **_build_state("Unclaimed", "Idle", int(slot.since)),
            "ThymePool": literal(slot.pool),
            "ThymeJobs": str(slot.jobs),
        }
    )


def _build_request(job: Ad) -> dict[str, str]:
    """Take what the job requested for a slot whose worker has not described its machine.

    ARC adds up the Cpus of all slots.
    """
    ad = {}
    for name in ("Cpus", "Memory", "Disk"):
        asked = job.number("Request" + name, -1)
        if asked >= 0:
            ad[name] = ad["Total" + name] = ad["TotalSlot" + name] = str(asked)
    return ad


def _build_claimed_ad(worker: str, job: Ad, client: str, machine: Mapping[str, str]) -> Ad:
    state = _BUSY.get(job.number("JobStatus"), _ENDING)
    since = job.number("EnteredCurrentStatus")
    ad = Ad(
        {
            **(machine if "Cpus" in machine else {**machine, **_build_request(job)}),
            **_build_names(job.text("RemoteHost") or job.text("LastRemoteHost") or worker, worker),
            **_build_state(*state, since),
            "JobId": f'"{job.number("ClusterId")}.{job.number("ProcId")}"',
            "ClientMachine": client,
            "JobStart": str(job.number("JobCurrentStartDate", since)),
        }
    )
    for name, source in (
        ("GlobalJobId", "GlobalJobId"), ("RemoteOwner", "User"), ("RemoteUser", "User"),
        ("AccountingGroup", "AccountingGroup"),
    ):  # fmt: skip
        if source in job:
            ad[name] = job[source]
    return ad
