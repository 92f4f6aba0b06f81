"""Leases: expired ones are found, and seldom looked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.schedd_parts import Events, job_after
from thyme.protocol.job import JobId, Task
from vobox.jobs.job import Job
from vobox.workers.leases import Leases

DEFAULT = 300.0
Step = tuple[str, int, int]


def run(proc: int, lease: float = 0.0) -> Job:
    e = Events(JobId(7, proc), task=Task("/bin/sh", lease=lease))
    return job_after(e.submit(), e.started())


class Looking:
    """The ledger's ``get``; counts."""

    def __init__(self, *jobs: Job) -> None:
        self.jobs = {job.id: job for job in jobs}
        self.looks = 0

    def __call__(self, job: JobId) -> Job | None:
        self.looks += 1
        return self.jobs.get(job)


def test_runs_that_are_not_due_are_not_looked_at() -> None:
    known, leases = Looking(*(run(proc) for proc in range(50))), Leases(DEFAULT)
    leases.renew_all([(job, 0.0) for job in known.jobs], 0.0)
    leases.record_start(run(50, lease=10.0), 0.0)
    known.jobs[JobId(7, 50)] = run(50, lease=10.0)
    assert leases.take_expired(known, 10.0) == []
    ((job, lease),) = leases.take_expired(known, 10.5)
    assert (job.id, lease) == (JobId(7, 50), 10.0)
    assert known.looks == 1
    assert len(leases.take_expired(known, DEFAULT + 1)) == 51


def test_runs_that_were_heard_are_looked_through_once_a_lease() -> None:
    known, leases = Looking(run(0)), Leases(DEFAULT)
    leases.record_start(run(0), 0.0)
    scans = 0
    for now in range(3000):
        if now % 50 == 0:
            leases.renew(JobId(7, 0), float(now))
        if leases.is_any_due(float(now)):
            scans += 1
            assert leases.take_expired(known, float(now)) == []
    assert 0 < scans <= 12
    assert known.looks == 0


def test_a_loss_is_told_once_a_lease_for_as_long_as_nothing_follows() -> None:
    known, leases = Looking(run(0)), Leases(DEFAULT)
    leases.record_start(run(0), 0.0)
    told = [now for now in range(1000) if leases.take_expired(known, float(now))]
    assert told == [301, 602, 903]


@pytest.mark.parametrize("worker", ["", "w1"])
def test_the_lease_of_a_job_without_a_worker_is_forgotten(worker: str) -> None:
    job = run(0)
    job.worker, job.in_queue = worker, not worker
    known, leases = Looking(job), Leases(DEFAULT)
    leases.record_start(run(0), 0.0)
    assert leases.take_expired(known, 1000.0) == [] == leases.take_expired(known, 2000.0)
    assert known.looks == 1


def test_runs_that_ended_leave_nothing_behind() -> None:
    leases = Leases(7200.0)
    for proc in range(100):
        leases.record_start(run(proc), float(proc))
        leases.forget(JobId(7, proc))
        leases.renew(JobId(7, proc), float(proc))  # a heartbeat that was on its way
    assert leases._runs == {}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["start", "hear", "forget", "pass", "renew"]),
            st.integers(0, 3),
            st.integers(0, 20),
        ),
        max_size=40,
    )
)
def test_leases_end_exactly_when_they_would_if_all_were_looked_at(steps: list[Step]) -> None:
    own = (0.0, 5.0, 7.0, 30.0)
    jobs = [run(proc, lease) for proc, lease in enumerate(own)]
    known, leases = Looking(*jobs), Leases(12.0)
    seen: dict[int, float] = {}
    now = 0.0
    for what, proc, seconds in steps:
        job = jobs[proc]
        if what == "start":
            leases.record_start(job, now)
            seen[proc] = now
        elif what == "hear" and proc in seen:
            leases.renew(job.id, now)
            seen[proc] = now
        elif what == "forget":
            leases.forget(job.id)
            seen.pop(proc, None)
        elif what == "renew":
            leases.renew_all([(jobs[each].id, own[each]) for each in seen], now)
            seen = dict.fromkeys(seen, now)
        now += seconds
        over = sorted(each for each, since in seen.items() if now - since > (own[each] or 12.0))
        assert sorted(job.id.proc for job, _lease in leases.take_expired(known, now)) == over
        seen.update(dict.fromkeys(over, now))
