"""A scan of many jobs does what evaluating each job by itself does."""

import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.schedd_parts import NOW, Events, job_after
from thyme.protocol.events import Usage
from thyme.protocol.job import JobId
from vobox.classad.ad import Ad
from vobox.jobs import policy
from vobox.jobs.job import Job
from vobox.jobs.live_usage import build_attributes
from vobox.ledger.writer import Ledger
from vobox.schedd.policy_scan import PolicyScan

EXPRESSIONS = (
    "false",
    "true",
    "undefined",
    '"text"',
    "0",
    "2.5",
    "JobStatus == 1 && CurrentTime - EnteredCurrentStatus > 50",
    "NumJobStarts > 1 || JobStatus == 5",
    "CurrentTime - QDate > 60",
    "MY.Number > 3",
    "TARGET.Number =?= undefined && Number > 3",
    "Twice > 8",
    "ResidentSetSize > 1000",
    "MemoryUsage > 1",
    "RemoteUserCpu > Number",
    'regexp("[5-9]$", Note)',
    "isUndefined(Note)",
    "Note is error",
    "eval(Spelled) > 3",
    "1 / (Number - 3) > 0",
    "PeriodicRelease",
    "HoldReasonCode == 3",
    "time() > 5 && Number == 2",
)
STATUSES = (1, 2, 3, 4, 5, 6, 7)


def random_job(number: int, dice: random.Random) -> Job:
    job = job_after(Events(JobId(number, 0)).submit())
    ad = job.ad
    for name in ("PeriodicHold", "PeriodicRelease", "PeriodicRemove", "LeaveJobInQueue"):
        if dice.random() < 0.6:
            ad[name] = dice.choice(EXPRESSIONS)
    if dice.random() < 0.3:
        ad["PeriodicHoldReason"] = '"of our own"'
        ad["PeriodicHoldSubCode"] = "Number"
    if dice.random() < 0.2:
        ad["AllowedJobDuration"] = str(dice.randint(0, 100))
        ad["JobCurrentStartDate"] = str(int(NOW) - dice.randint(0, 300))
    ad["Number"] = dice.choice(("1", "2", "5", "9", "1 + 7", "true", "undefined", "error"))
    ad["Twice"], ad["Spelled"] = "2 * Number", '"Number"'
    ad["EnteredCurrentStatus"] = str(int(NOW) - dice.randint(0, 99))
    ad["QDate"] = str(int(NOW) - dice.randint(0, 99))
    ad["NumJobStarts"] = str(dice.randint(0, 3))
    if dice.random() < 0.8:
        ad["Note"] = dice.choice(
            ('"n5"', '"zoë7"', '"a\\"5"', '"\\t"', "error", "undefined", '"x"')
        )
    if dice.random() < 0.3:
        ad["ResidentSetSize"] = str(dice.choice((10, 5000)))
        ad["MemoryUsage"] = "((ResidentSetSize + 1023) / 1024)"
    job.status = dice.choice(STATUSES)
    ad["JobStatus"] = str(job.status)
    if job.status == 5:
        ad["HoldReasonCode"] = str(dice.choice((1, 3, 16, 26)))
    job.worker = "w1" if job.status in (2, 7) or dice.random() < 0.1 else ""
    return job


def stored(ledger: Ledger, seed: int) -> list[Job]:
    dice = random.Random(seed)
    jobs = [random_job(number, dice) for number in range(1, 401)]
    with ledger.transaction():
        for job in jobs:
            ledger.put(job)
    return jobs


def some_live(job: JobId) -> Mapping[str, str]:
    if job.cluster % 3:
        return {}
    return build_attributes(Usage(float(job.cluster % 7), 1.0, 9.0, 4096 * (job.cluster % 2)), NOW)


def evaluate_one_by_one(jobs: list[Job], now: float) -> tuple[dict[JobId, object], list[JobId]]:
    """Return what there is to do: each job evaluated by itself."""
    actions: dict[JobId, object] = {}
    leaving = []
    for job in jobs:
        live = some_live(job.id) if job.status in (2, 7) else {}
        action = policy.check_periodic(Ad({**job.ad, **live}), job.status, now)
        if action != policy.NO_ACTION:
            actions[job.id] = action
        elif job.status in (3, 4) and not job.worker and not policy.stays_in_queue(job.ad, now):
            leaving.append(job.id)
    return actions, leaving


@pytest.mark.parametrize("seed", range(6))
def test_a_scan_does_what_evaluating_each_job_by_itself_does(tmp_path: Path, seed: int) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    jobs = stored(ledger, seed)
    # what has no policy is not looked at, and would have nothing to do
    with_policy = {row.id for row in ledger.read_with_policy(JobId(-1, -1))}

    actions, leaving = evaluate_one_by_one([job for job in jobs if job.id in with_policy], NOW)
    found, more = PolicyScan("vm", ledger, some_live, lambda: 0.0).scan_slice(NOW)

    assert more is False
    events = [event for event in found if event.kind != "left"]
    assert [event.job for event in events] == list(actions)
    assert [event.job for event in found if event.kind == "left"] == leaving
    for event in events:
        action = actions[event.job]
        assert isinstance(action, policy.PolicyAction)
        kind = "held" if action.hold else "released" if action.release else "removed"
        assert event.kind == kind
        if action.hold:
            assert event.hold == action.hold  # type: ignore[attr-defined]
    assert actions and len(actions) < 300, "some fire, and some do not"
    ledger.close()
