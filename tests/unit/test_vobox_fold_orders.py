"""Suspended, continued, vacated and edited jobs: the fold, the log, and what workers are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vobox_fakes import (
    JOB,
    SCHEDD,
    Bench,
    Events,
    after,
    effects,
    logged,
    shown,
    told,
)
from thyme.message import Continued, Edited, Heartbeat, JobMessage, Suspended, Usage, Vacated
from vobox.mailroom import reply_to_heartbeat
from vobox.state import Job


class Orders(Events):
    """Events of one job, and orders about it."""

    def suspended(self) -> Suspended:
        return Suspended(SCHEDD, self.job, self._when(), "via condor_suspend (by user games)")

    def continued(self) -> Continued:
        return Continued(SCHEDD, self.job, self._when(), "via condor_continue (by user games)")

    def vacated(self, force: bool = False) -> Vacated:
        return Vacated(SCHEDD, self.job, self._when(), "via condor_vacate_job", force)

    def edited(self, **values: str) -> Edited:
        return Edited(SCHEDD, self.job, self._when(), values)

    def running(self) -> list[JobMessage]:
        return [self.submit(), self.started()]


def status(job: Job) -> tuple[int, str]:
    return job.status, job.worker


def test_a_suspended_job_keeps_its_worker_and_counts_the_time_that_it_stood_still() -> None:
    e = Orders()
    story = [*e.running(), e.suspended()]
    change = told(*story)
    assert change.job is not None and status(change.job) == (7, "w1")
    assert effects(change) == "010 suspend"
    e.now += 100
    change = told(*story, e.continued())
    assert effects(change) == "011 continue"
    job = change.job
    assert job is not None and status(job) == (2, "w1")
    assert (job.ad["TotalSuspensions"], job.ad["CumulativeSuspensionTime"]) == ("1", "101")
    assert (job.ad["LastSuspensionTime"], job.ad["LastJobStatus"]) == ("0", "7")


@pytest.mark.parametrize(
    ("end", "state", "did"),
    [
        ("finished", "ended by nobody queued result in", ""),
        ("evicted", "idle by nobody in", "004"),
        ("lost", "idle by nobody in", "superseded 004"),
        ("removed", "removed by w1 queued in", "009 remove"),
        ("held", "held by w1 queued in", "012 hold"),
    ],
)
def test_a_suspended_job_ends_as_a_running_one(end: str, state: str, did: str) -> None:
    def story(e: Orders, *more: JobMessage) -> list[JobMessage]:
        return [*e.running(), *more, getattr(e, end)()]

    e = Orders()
    running = told(*story(Orders()))
    suspended = told(*e.running(), e.suspended(), getattr(e, end)())
    assert suspended.job is not None and running.job is not None
    assert (shown(suspended.job), effects(suspended)) == (state, did)
    assert (shown(running.job), effects(running)) == (state, did)
    assert suspended.job.losses == running.job.losses


@pytest.mark.parametrize("before", ["idle", "held", "removed", "completed"])
def test_only_a_running_job_is_suspended_or_vacated(before: str) -> None:
    e = Orders()
    stories = {
        "idle": [e.submit()],
        "held": [e.submit(), e.held()],
        "removed": [e.submit(), e.removed()],
        "completed": [*e.running(), e.finished(), e.delivered()],
    }
    job = shown(after(*stories[before]))
    for order in (e.suspended(), e.continued(), e.vacated()):
        change = told(*stories[before], order)
        assert change.job is not None
        assert (shown(change.job), effects(change)) == (job, "")


def test_a_vacated_job_goes_on_until_its_worker_has_ended_it() -> None:
    e = Orders()
    assert effects(told(*e.running(), e.vacated())) == "vacate"
    change = told(*e.running(), e.suspended(), e.vacated(force=True))
    assert effects(change) == "vacate_fast" and change.job is not None
    assert status(change.job) == (7, "w1")
    assert shown(after(*e.running(), e.vacated(), e.evicted())) == "idle by nobody in"


def test_an_edit_changes_the_ad_and_one_of_a_job_that_left_changes_nothing() -> None:
    e = Orders()
    ad = after(e.submit(), e.edited(JobPrio="5", Colour='"red"')).ad
    assert (ad["jobprio"], ad["Colour"]) == ("5", '"red"')
    assert "Colour" not in after(e.submit(), e.removed(), e.edited(Colour="1")).ad


@pytest.mark.parametrize(
    ("orders", "action"),
    [([], ""), (["suspended"], "suspend"), (["suspended", "continued"], "continue")],
)
def test_a_worker_that_may_not_have_heard_is_told_again(orders: list[str], action: str) -> None:
    e = Orders()
    job = after(*e.running(), *(getattr(e, order)() for order in orders))
    beat = Heartbeat(SCHEDD, JOB, 0, "w1", "slot1@w1", Usage())
    assert reply_to_heartbeat(job, beat) == action


def test_the_log_tells_of_suspensions_and_of_memory_when_it_has_grown(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    path = tmp_path / "job.log"
    e = Orders(attributes={"UserLog": str(path)})
    bench.submit(e.submit())
    bench.record(e.started())
    for memory in (1000, 1100, 1250, 1251, 1000, 2000):
        beat = Heartbeat(SCHEDD, JOB, 0, "w1", "slot1@w1", Usage(peak_rss=memory))
        bench.mailroom._heartbeat(bench.transport, beat)
    bench.record(e.suspended(), e.continued())
    numbers = [each.split()[0] for each in logged(path)]
    assert numbers == ["000", "001", "006", "006", "006", "010", "011"]
    sizes = [line for line in path.read_text().splitlines() if "Image size" in line]
    assert [line.split(": ")[1] for line in sizes] == ["1000", "1251", "2000"]
    bench.close()


def test_memory_that_is_not_known_or_of_another_worker_is_not_logged(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    path = tmp_path / "job.log"
    e = Orders(attributes={"UserLog": str(path)})
    bench.submit(e.submit())
    bench.record(e.started())
    for worker, memory in (("w1", 0), ("w2", 5000)):
        beat = Heartbeat(SCHEDD, JOB, 0, worker, f"slot1@{worker}", Usage(peak_rss=memory))
        bench.mailroom._heartbeat(bench.transport, beat)
    assert [each.split()[0] for each in logged(path)] == ["000", "001"]
    bench.close()
