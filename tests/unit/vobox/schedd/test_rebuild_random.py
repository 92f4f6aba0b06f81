"""Whatever happened, and whatever the users' expressions ask for, a rebuilt ledger is the same."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.schedd_parts import Events, Expression, ScheddHarness, dump, let_days_pass
from thyme.protocol.job import JobId
from vobox.ledger import write_buffer
from vobox.schedd import stream_reader

#: Expressions that differ each time they are evaluated, or soon.
DICE = st.sampled_from(["false", "true", "random(2) == 0", "random(3) == 0", "time() % 2 == 0"])
POLICIES = st.fixed_dictionaries(
    {},
    optional={
        "OnExitHold": DICE,
        "OnExitRemove": DICE,
        "LeaveJobInQueue": DICE,
        "PeriodicHold": st.just("random(4) == 0"),
        "PeriodicRelease": st.just("random(2) == 0"),
    },
)
JOBS = st.integers(0, 2)
STEPS = st.one_of(
    st.tuples(st.just("report"), JOBS, st.sampled_from(["started", "finished", "evicted"])),
    st.tuples(st.just("report"), JOBS, st.sampled_from(["started", "finished", "evicted"])),
    st.tuples(st.just("command"), JOBS, st.sampled_from(["held", "released", "removed"])),
    st.tuples(st.just("late report"), JOBS, st.sampled_from(["started", "finished", "evicted"])),
    st.tuples(st.just("pass"), st.integers(1, 400), st.just("")),
    st.tuples(st.just("days"), st.integers(1, 12), st.just("")),
    st.tuples(st.just("restart"), st.just(0), st.just("")),
)


def play(
    bench: ScheddHarness,
    policies: list[dict[str, str]],
    steps: list[tuple[str, int, str]],
    jobs: list[Events] | None = None,
) -> list[Events]:
    """Let these things happen to three jobs, whose workers know their present attempt."""
    if jobs is None:
        jobs = []
        for cluster, policy in enumerate(policies, 1):
            attributes: dict[str, Expression] = {n: Expression(text) for n, text in policy.items()}
            jobs.append(Events(JobId(cluster, 0), attributes=attributes))  # type: ignore[arg-type]
            bench.submit(jobs[-1].submit())
    for what, number, kind in steps:
        if what == "pass":
            bench.clock.now += number
            bench.wall.now += number
            bench.end_leases()
            bench.policies()
        elif what == "days":
            let_days_pass(bench, number)
        elif what == "restart":
            bench.restart()
        else:
            make: Callable[..., object] = getattr(jobs[number], kind)
            jobs[number].now = bench.wall()
            job = bench.ledger.get(jobs[number].job)
            attempt = job.attempt if job else 0  # None: the history has forgotten it
            late = what == "late report" and attempt > 0
            event = make() if what == "command" else make("w1", attempt - late)
            bench.record(event)  # type: ignore[arg-type]
    return jobs


def rebuild(bench: ScheddHarness, batch: int, at_once: int, restarts: bool) -> list[object]:
    """Return what the ledger holds that is made from nothing, read in such portions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream_reader, "READ_BATCH", batch)
        patch.setattr(stream_reader, "REPLAY_BATCH", at_once)
        bench.reopen(wiped=True)
        while bench.reader.catch_up(replaying=True):
            if restarts:
                bench.reopen()
        bench.session.finish_replay()
    return dump(bench.ledger)


@given(
    policies=st.lists(POLICIES, min_size=3, max_size=3),
    steps=st.lists(STEPS, max_size=25),
    batch=st.integers(1, 7),
    at_once=st.integers(1, 20),
    restarts=st.booleans(),
    many=st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_a_rebuilt_ledger_equals_the_one_that_lived(
    policies: list[dict[str, str]],
    steps: list[tuple[str, int, str]],
    batch: int,
    at_once: int,
    restarts: bool,
    many: int,
) -> None:
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(write_buffer, "MANY", many)
        bench = ScheddHarness(Path(directory), lease=300.0)
        bench.broker.time = bench.wall  # type: ignore[method-assign]
        play(bench, policies, steps)
        lived, recorded = dump(bench.ledger), len(bench.broker.stream)
        assert rebuild(bench, batch, at_once, restarts) == lived
        assert len(bench.broker.stream) == recorded, "nothing new was decided"
        bench.close()


def test_a_policy_that_asks_for_the_time_is_evaluated_once(tmp_path: Path) -> None:
    """HTCondor's own example holds what ran for less than an hour."""
    bench = ScheddHarness(tmp_path)
    e = Events(attributes={"OnExitHold": Expression("time() < 9000000000")})
    bench.submit(e.submit())
    bench.record(e.started("w1", 0), e.finished("w1", 0, stdout=b"of attempt 0"))
    assert bench.job().ad["HoldReasonCode"] == "3"
    bench.record(e.released())
    bench.record(e.started("w2", 1))
    before = dump(bench.ledger)
    # the expression is false from now on
    edited = bench.broker.stream[0].body.replace(b"time() < 9000000000", b"time() < 1000000000")
    bench.broker.stream[0] = bench.broker.stream[0]._replace(body=edited)
    recorded = len(bench.broker.stream)

    bench.restart(wiped=True)

    job = bench.job()
    assert (job.status, job.worker, job.attempt) == (2, "w2", 1)
    assert len(bench.broker.stream) == recorded, "nothing was decided again"
    assert len(dump(bench.ledger)) == len(before)
    bench.close()
