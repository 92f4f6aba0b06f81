"""The slots: workers that wait, workers with a job, and their machine ads."""

from tests.support.schedd_parts import JOB, LIFE, NOW, SCHEDD, ad_of
from thyme.protocol.events import Machine, Usage
from thyme.protocol.job import JobId
from thyme.protocol.mail import Claim, Heartbeat, Waiting
from vobox.jobs.live_usage import build_attributes
from vobox.workers.slot_ads import slot_ads
from vobox.workers.slots import (
    BUSY_KEPT_SECONDS,
    MAX_INTERVAL_SECONDS,
    MAX_SLOTS,
    SWEEP_SECONDS,
    Slots,
)

MACHINE = Machine(2, 4000, 10**6, "X86_64", "LINUX", "AlmaLinux9", 0.5)


def waiting(worker: str = "w1", interval: float = 60.0, **changes: object) -> Waiting:
    values = {"since": NOW - 30, "machine": MACHINE, "jobs": 2, "leaving": False, **changes}
    return Waiting(worker, f"slot1@{worker}", "pool", interval=interval, **values)  # type: ignore[arg-type]


def beat(worker: str = "w1", machine: Machine | None = MACHINE) -> Heartbeat:
    return Heartbeat(SCHEDD, JOB, 0, worker, f"slot1@{worker}", Usage(), machine, life=LIFE)


def names(slots: Slots, now: float) -> list[str]:
    return [slot.worker for slot in slots.list_waiting(now)]


def test_a_worker_that_waits_is_a_slot_until_it_is_silent_for_three_intervals() -> None:
    slots = Slots()

    slots.record_waiting(waiting("w1", 60), 0.0)
    slots.record_waiting(waiting("w2", 10), 0.0)

    assert names(slots, 29.0) == ["w1", "w2"]
    assert names(slots, 31.0) == ["w1"]
    slots.record_waiting(waiting("w1", 60), 100.0)
    assert names(slots, 279.0) == ["w1"]
    assert names(slots, 281.0) == []


def test_a_worker_that_leaves_is_no_slot_any_more() -> None:
    slots = Slots()
    slots.record_waiting(waiting("w1"), 0.0)

    slots.record_waiting(waiting("w1", leaving=True), 1.0)

    assert names(slots, 2.0) == []
    assert len(slots) == 0


def claim(worker: str, machine: Machine | None = None) -> Claim:
    return Claim(SCHEDD, JobId(1, 0), 0, worker, f"slot1_7@{worker}", machine, life=LIFE)


def test_a_worker_that_was_told_to_start_a_job_does_not_wait_any_more() -> None:
    slots = Slots()
    slots.record_waiting(waiting("w1"), 0.0)
    slots.record_waiting(waiting("w2"), 0.0)

    slots.record_taken(claim("w1"), 1.0)
    slots.record_heartbeat(beat("w2", machine=None), 1.0)
    slots.record_taken(claim("nobody"), 1.0)
    slots.record_taken(claim("w3", MACHINE), 1.0)

    assert names(slots, 2.0) == []
    assert slots.get_machine("w1") == slots.get_machine("w2") == MACHINE
    assert slots.get_machine("w3") == MACHINE
    assert slots.get_machine("nobody") is None
    slots.record_waiting(waiting("w1"), 3.0)
    assert names(slots, 4.0) == ["w1"]


def test_what_is_silent_is_forgotten_and_not_only_hidden() -> None:
    slots = Slots()
    for number in range(100):
        slots.record_waiting(waiting(f"w{number}", 1.0), 0.0)
    slots.record_heartbeat(beat("busy"), 0.0)

    slots.record_waiting(waiting("new", 10.0), SWEEP_SECONDS + 1)
    assert len(slots) == 2

    slots.record_waiting(waiting("newer", 10.0), BUSY_KEPT_SECONDS + SWEEP_SECONDS + 2)
    assert len(slots) == 1


def test_an_interval_that_is_none_is_not_believed() -> None:
    slots = Slots()

    slots.record_waiting(waiting("long", 1e9), 0.0)
    slots.record_waiting(waiting("none", 0.0), 0.0)

    assert names(slots, 2.0) == ["long", "none"]
    assert names(slots, 3 * MAX_INTERVAL_SECONDS + 1) == []


def test_invented_workers_do_not_fill_the_memory(monkeypatch: object) -> None:
    slots = Slots()
    assert MAX_SLOTS >= 8_000
    slots._slots = dict.fromkeys(map(str, range(MAX_SLOTS)))  # type: ignore[arg-type]

    slots._next_sweep = 1e9
    slots.record_waiting(waiting("one more"), 0.0)

    assert len(slots) == MAX_SLOTS


# --- as ads ----------------------------------------------------------------------------------


def test_a_worker_that_waits_is_an_unclaimed_slot_with_its_machine() -> None:
    slots = Slots()
    slots.record_waiting(waiting("w1"), 0.0)

    (ad,) = slot_ads(slots, [], SCHEDD, 1.0, NOW)

    assert (ad.text("Name"), ad.text("Machine")) == ("slot1@w1", "w1")
    assert (ad.text("State"), ad.text("Activity")) == ("Unclaimed", "Idle")
    assert ad.number("EnteredCurrentState") == ad.number("EnteredCurrentActivity") == NOW - 30
    assert ad.number("MyCurrentTime") == NOW
    for name, value in {"Cpus": 2, "Memory": 4000, "Disk": 10**6}.items():
        assert [ad.number(kind + name) for kind in ("", "Total", "TotalSlot")] == [value] * 3
    assert [ad.text(name) for name in ("Arch", "OpSys", "OpSysAndVer", "SlotType")] == [
        "X86_64", "LINUX", "AlmaLinux9", "Static",
    ]  # fmt: skip
    assert (ad.text("OpSysName"), ad.number("OpSysMajorVer")) == ("AlmaLinux", 9)
    assert ad["LoadAvg"] == "0.5"
    assert (ad.text("ThymePool"), ad.number("ThymeJobs"), ad.text("ThymeWorker")) == (
        "pool",
        2,
        "w1",
    )
    assert "JobId" not in ad
    ad.classad()  # every text is an expression


def test_a_running_job_is_a_claimed_slot_even_if_its_worker_was_never_heard() -> None:
    slots = Slots()
    slots.record_waiting(waiting("w1"), 0.0)  # the ledger is newer than this
    job = ad_of(
        JobId(7, 1), JobStatus=2, RemoteHost="slot1_9@node7", User="games@example.org",
        JobCurrentStartDate=int(NOW) - 5, EnteredCurrentStatus=int(NOW) - 5,
    )  # fmt: skip

    known, unknown = slot_ads(slots, [("w1", job), ("w2", job)], SCHEDD, 1.0, NOW)

    for ad in (known, unknown):
        assert (ad.text("Name"), ad.text("Machine")) == ("slot1_9@node7", "node7")
        assert (ad.text("State"), ad.text("Activity")) == ("Claimed", "Busy")
        assert (ad.text("JobId"), ad.text("RemoteOwner")) == ("7.1", "games@example.org")
        assert ad.text("GlobalJobId") == f"{SCHEDD}#7.1#{int(NOW)}"
        assert ad.number("JobStart") == ad.number("EnteredCurrentState") == NOW - 5
        assert ad.text("ClientMachine") == SCHEDD
        ad.classad()
    assert known.number("Cpus") == 2
    assert "Cpus" not in unknown  # not known is not 0


def test_a_worker_that_has_not_told_what_it_has_offers_what_its_job_asked_for() -> None:
    job = ad_of(JobStatus=2, RemoteHost="slot1@n", RequestCpus=4, RequestMemory=2000)
    job["RequestDisk"] = "DiskUsage"

    (ad,) = slot_ads(Slots(), [("w1", job)], SCHEDD, 1.0, NOW)

    assert [ad.number(name) for name in ("Cpus", "TotalCpus", "Memory")] == [4, 4, 2000]
    assert "Disk" not in ad

    slots = Slots()
    slots.record_heartbeat(beat("w1"), 0.0)
    (ad,) = slot_ads(slots, [("w1", job)], SCHEDD, 1.0, NOW)
    assert ad.number("Cpus") == MACHINE.cpus


def test_a_slot_whose_job_is_suspended_or_ending_says_so() -> None:
    def state(status: int) -> tuple[str, str]:
        busy = [("w1", ad_of(JobStatus=status, RemoteHost="slot1@n"))]
        (ad,) = slot_ads(Slots(), busy, SCHEDD, 1.0, NOW)
        return ad.text("State"), ad.text("Activity")

    assert state(7) == ("Claimed", "Suspended")
    assert state(5) == state(3) == state(1) == ("Preempting", "Vacating")


# --- what running jobs use -------------------------------------------------------------------


def test_a_heartbeats_usage_is_told_in_the_attributes_of_the_shadow() -> None:
    ad = build_attributes(Usage(10.5, 0.25, 99.0, peak_rss=2048, rss=1024, disk=77), NOW)

    assert ad == {
        "RemoteUserCpu": "10.5", "RemoteSysCpu": "0.25", "LastJobLeaseRenewal": str(int(NOW)),
        "ResidentSetSize": "2250", "ResidentSetSize_RAW": "2048",
        "ImageSize": "2250", "ImageSize_RAW": "2048",
        "MemoryUsage": "((ResidentSetSize + 1023) / 1024)",
        "DiskUsage": "77", "DiskUsage_RAW": "77",
    }  # fmt: skip


def test_what_could_not_be_measured_is_absent_and_not_zero() -> None:
    assert set(build_attributes(Usage(1.0, 1.0), NOW)) == {
        "RemoteUserCpu", "RemoteSysCpu", "LastJobLeaseRenewal",
    }  # fmt: skip
