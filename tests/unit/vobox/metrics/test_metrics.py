"""What a schedd sends: what happened to jobs, how things stand, and nothing that is not known."""

import dataclasses
import logging
from pathlib import Path

import pytest

from telemetry.points import Point
from telemetry.reporter import Reporter
from tests.support.schedd_parts import Events
from thyme.protocol.events import HoldReason, JobMessage, Usage
from thyme.protocol.job import JobId
from vobox.jobs.job import Job
from vobox.jobs.transitions import apply
from vobox.ledger.writer import Ledger
from vobox.metrics import points as schedd_points
from vobox.metrics.points import PoolTally, ScheddNow, Tally, percentile
from vobox.metrics.sender import Metrics

LOG = logging.getLogger("test-metrics")
POOL = "pool"


class Site:
    """Jobs that are folded, and a tally that sees it."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.jobs: dict[JobId, Job] = {}

    def happens(self, *events: JobMessage) -> None:
        for event in events:
            before = self.jobs.get(event.job)
            after = apply(before, event).job
            assert after is not None
            self.jobs[event.job] = after
            self.tally.see(before, event, after)
            self.tally.read_back(0.5)
        self.tally.keep()

    def counts(self) -> dict[str, int]:
        happened = self.tally.take()
        (tally,) = happened.pools.values()
        return {name: count for name, count in tally.counts.items() if count}


def test_what_happens_to_a_job_is_counted_once() -> None:
    site, e = Site(), Events()
    site.happens(e.submit(), e.started(), e.finished())
    assert site.counts() == {"submitted": 1, "started": 1, "finished": 1, "attempts": 1}
    assert site.tally.take().pools == {}, "taken"


def test_losses_evictions_holds_removals_and_retries_are_counted() -> None:
    site, e = Site(), Events()
    site.happens(e.submit(), e.started(), e.lost())
    assert site.counts() == {"submitted": 1, "started": 1, "lost": 1}
    other = Events(JobId(2, 0))
    site.happens(other.submit(), other.held(), other.held(), other.removed(), other.removed())
    counted = site.counts()
    assert (counted["held"], counted["removed"]) == (1, 1), "not again what is so already"


def test_what_is_told_late_or_twice_is_counted_once() -> None:
    site, e = Site(), Events()
    site.happens(e.submit(), e.started(), e.started(), e.started("w2"), e.lost(), e.lost())
    site.happens(e.submit(1), e.submit(1), e.started("w2", 1), e.evicted("w1"))
    # the lost worker is back, and its report comes after all
    site.happens(e.finished("w1"), e.finished("w2", 1), e.finished("w2", 1), e.lost(1))
    tally = site.tally.take().pools["pool"]
    assert {name: count for name, count in tally.counts.items() if count} == {
        "submitted": 1, "started": 2, "lost": 1, "retried": 1, "finished": 1, "attempts": 2
    }  # fmt: skip
    assert tally.exits == {"ok": 1}
    # of the one attempt that finished
    assert tally.seconds == {
        "cpu_seconds": 2.0, "allocated_seconds": 10.0, "lost_cpu_seconds": 0.0
    }  # fmt: skip


def test_a_run_that_ends_since_its_job_is_removed_or_held_is_neither_evicted_nor_finished() -> None:
    site, used = Site(), {"evicted_cpu_seconds": 2.0}
    for number, end in enumerate(("finished", "evicted")):
        e = Events(JobId(number, 0))
        site.happens(e.submit(), e.started(), e.removed(), getattr(e, end)())
        tally = site.tally.take().pools["pool"]
        counted = {name: count for name, count in tally.counts.items() if count}
        assert (counted, tally.seconds) == ({"submitted": 1, "started": 1, "removed": 1}, used)
    e = Events(JobId(3, 0))
    site.happens(e.submit(), e.started(), e.held(), e.evicted())
    tally = site.tally.take().pools["pool"]
    counted = {name: count for name, count in tally.counts.items() if count}
    assert (counted, tally.seconds) == ({"submitted": 1, "started": 1, "held": 1}, used)


def test_a_job_that_its_worker_holds_is_held_and_not_finished() -> None:
    """It could not be started, or exceeded a limit after some time."""
    hold = HoldReason(13, 2, "no such file")
    for usage, never_ran, cpu in ((Usage(), 1, 0.0), (Usage(3.0, 1.0, wall=9.0), 0, 4.0)):
        site, e = Site(), Events()
        end = dataclasses.replace(e.finished(code=None, hold=hold), usage=usage)
        site.happens(e.submit(), e.started(), end, end)
        tally = site.tally.take().pools["pool"]
        counted = {name: count for name, count in tally.counts.items() if count}
        assert counted == {"submitted": 1, "started": 1, "held": 1}
        assert (tally.exits["never_ran"], tally.seconds) == (
            never_ran, {"evicted_cpu_seconds": cpu}
        )  # fmt: skip


def test_cpu_time_that_ended_in_no_finished_job_is_told() -> None:
    site, e, other = Site(), Events(), Events(JobId(2, 0))
    site.happens(e.submit(), e.started(), other.submit(), other.started())
    evicted = dataclasses.replace(other.evicted(), usage=Usage(user_cpu=5.0, system_cpu=1.0))
    site.happens(evicted)
    job = site.jobs[e.job]
    lost = e.lost()
    site.tally.see(job, lost, apply(job, lost).job or job, live_cpu=7.0)
    site.tally.keep()
    (tally,) = site.tally.take().pools.values()
    assert dict(tally.seconds) == {"evicted_cpu_seconds": 6.0, "lost_cpu_seconds": 7.0}


def test_what_could_not_be_written_is_counted_when_it_is_read_again() -> None:
    site, e = Site(), Events()
    site.happens(e.submit())
    job = site.jobs[e.job]
    started = e.started()
    after = apply(job, started).job or job
    site.tally.see(job, started, after)
    site.tally.drop()
    site.tally.see(job, started, after)
    site.tally.keep()
    assert site.counts() == {"submitted": 1, "started": 1}


def test_a_schedd_that_has_nothing_to_read_does_not_lag() -> None:
    tags, none = {"schedd": "s", "site": ""}, schedd_points.Happened()
    made = schedd_points.schedd_point(tags, none, {"broker_ok": True}, 5.0)
    assert made is not None
    assert made.fields["event_lag"] == 0.0
    made = schedd_points.schedd_point(tags, none, {"broker_ok": False}, 5.0)
    assert made is not None
    assert "event_lag" not in made.fields, "nobody knows"


def test_percentiles_are_values_that_were_seen() -> None:
    assert percentile([], 50) is None
    assert [percentile([1.0, 2.0, 3.0, 4.0], p) for p in (50, 90, 99)] == [2.0, 4.0, 4.0]
    assert percentile([float(n) for n in range(1, 101)], 99) == 99.0


def points(now: schedd_points.PoolNow, tally: PoolTally) -> dict[tuple[str, str], Point]:
    made = schedd_points.pool_points({"schedd": "s", "site": ""}, POOL, now, tally, 5.0)
    return {(one.series, one.tags.get("state", one.tags.get("class", ""))): one for one in made}


def test_ends_are_told_by_class_and_their_cpu_by_what_it_could_have_been() -> None:
    site = Site()
    ends = [{"code": 0}, {"code": 3}, {"code": None, "signal": 9}]
    for number, end in enumerate(ends):
        e = Events(JobId(number + 1, 0))
        usage = Usage(user_cpu=6.0, system_cpu=2.0, wall=10.0 * (number + 1))
        begin = (e.submit(), e.started())
        site.happens(*begin, dataclasses.replace(e.finished(**end), usage=usage))
    (tally,) = site.tally.take().pools.values()
    made = points(schedd_points.PoolNow({2: 7}), tally)
    ended = {name: made["thyme_exits", name].fields["count"]
             for name in ("ok", "error", "signal", "never_ran")}  # fmt: skip
    assert ended == {"ok": 1, "error": 1, "signal": 1, "never_ran": 0}
    times, rates = made["thyme_times", ""].fields, made["thyme_rates", ""].fields
    assert (times["run_p50"], times["run_p99"]) == (20.0, 30.0)
    assert (rates["cpu_seconds"], rates["allocated_seconds"]) == (24.0, 60.0)
    assert (rates["finished"], rates["attempts"]) == (3, 3)
    assert made["thyme_jobs", "running"].fields == {"count": 7}
    assert made["thyme_jobs", "idle"].fields == {"count": 0}


def test_what_is_not_known_is_left_out() -> None:
    made = points(schedd_points.PoolNow(None), PoolTally())
    assert ("thyme_jobs", "idle") not in made
    assert ("thyme_slots", "") not in made
    assert ("thyme_times", "") not in made
    assert made["thyme_rates", ""].fields["lost"] == 0, "nothing happened, and that is known"


class Bench:
    def __init__(self, path: Path) -> None:
        self.ledger = Ledger(path / "ledger.db")
        self.site = Site()
        self.now = ScheddNow(True, False, 0, 0, {}, 3, POOL, [])
        self.metrics = Metrics(
            "s", "occam", path / "ledger.db", self.site.tally, lambda: self.now,
            Reporter("thyme_schedd", (), LOG), clock=lambda: 100.0, wall=lambda: 1e9,
        )  # fmt: skip

    def round(self) -> dict[tuple[str, ...], Point]:
        made = self.metrics.round()
        return {
            (one.series, *(one.tags.get(t, "") for t in ("pool", "state"))): one for one in made
        }


def test_a_round_counts_the_ledger_and_the_workers(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for number in range(5):
        e = Events(JobId(number + 1, 0))
        bench.site.happens(e.submit(), *([e.started()] if number < 2 else []))
    with bench.ledger.transaction():
        for job in bench.site.jobs.values():
            bench.ledger.put(job)
    made = bench.round()
    pool = bench.site.jobs[JobId(1, 0)].pool
    assert made["thyme_jobs", pool, "running"].fields == {"count": 2}
    assert made["thyme_jobs", pool, "idle"].fields == {"count": 3}
    assert made["thyme_slots", pool, ""].fields["busy"] == 2
    schedd = made["thyme_schedd", "", ""]
    assert schedd.tags == {"schedd": "s", "site": "occam"}
    assert (schedd.fields["jobs"], schedd.fields["broker_ok"]) == (5, True)
    assert schedd.fields["broker_latency"] == pytest.approx(0.5)
    assert schedd.fields["rss"] > 1_000_000
    bench.ledger.close()


def test_a_ledger_that_cannot_be_read_is_not_zero_jobs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(tmp_path)
    bench.ledger.close()
    (tmp_path / "ledger.db").write_bytes(b"rubbish" * 1000)
    made = bench.round()
    assert not [key for key in made if key[0] == "thyme_jobs"]
    assert "jobs" not in made["thyme_schedd", "", ""].fields
    assert "not a database" in caplog.text


def test_a_spool_may_have_any_name(tmp_path: Path) -> None:
    spool = tmp_path / "50 %41?a#b"
    spool.mkdir()
    bench, e = Bench(spool), Events()
    bench.site.happens(e.submit())
    with bench.ledger.transaction():
        bench.ledger.put(bench.site.jobs[e.job])
    assert bench.round()["thyme_jobs", "pool", "idle"].fields == {"count": 1}
    assert list(tmp_path.iterdir()) == [spool]
    bench.ledger.close()


def test_a_ledger_that_is_being_made_tells_of_no_jobs(tmp_path: Path) -> None:
    bench, e = Bench(tmp_path), Events()
    bench.site.happens(e.submit())
    with bench.ledger.transaction():
        bench.ledger.put(bench.site.jobs[e.job])
    bench.now = ScheddNow(False, True, 0, 0, None, None, POOL, [])
    made = bench.round()
    assert {series for series, *_ in made} == {"thyme_rates", "thyme_exits", "thyme_schedd"}
    fields = made["thyme_schedd", "", ""].fields
    assert fields["rebuilding"] is True
    assert not {"jobs", "oldest_idle", "put_aside"} & set(fields)
    bench.now = ScheddNow(True, False, 0, 0, {}, 0, POOL, [])
    made = bench.round()
    assert made["thyme_jobs", "pool", "idle"].fields == {"count": 1}
    bench.ledger.close()


def test_a_broker_that_is_away_makes_workers_unknown(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.now = ScheddNow(False, False, 4, 2, None, None, POOL, [])
    made = bench.round()
    assert made["thyme_slots", POOL, ""].fields == {"busy": 0}
    fields = made["thyme_schedd", "", ""].fields
    assert (fields["broker_ok"], fields["rebuilding"], fields["unreadable"]) == (False, False, 4)
    assert fields["forged"] == 2
    bench.ledger.close()


def test_held_jobs_are_told_by_reason_and_as_zero_when_the_last_is_released(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path)
    held = {(POOL, "DeadLetter"): 2, (POOL, "UserRequest"): 3, ("gpu", "UserRequest"): 1}
    told = []
    for now in (held, {(POOL, "UserRequest"): 1}, None):
        bench.now = ScheddNow(True, False, 0, 0, now, 3, POOL, [])
        made = bench.metrics.round()
        told.append(
            {
                (one.tags["pool"], one.tags["reason"]): one.fields["count"]
                for one in made
                if one.series == "thyme_held_jobs"
            }
        )
        (schedd,) = [one for one in made if one.series == "thyme_schedd"]
        assert schedd.fields.get("put_aside") == {3: 2, 1: 0}.get(len(now or ()))
    released = {(POOL, "DeadLetter"): 0, (POOL, "UserRequest"): 1, ("gpu", "UserRequest"): 0}
    assert told == [held, released, {}], "what is not known is left out"
    bench.ledger.close()
