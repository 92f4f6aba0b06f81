"""Whatever the broker loses of records and messages: no job vanishes, comes back, or waits on."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.schedd_parts import Events, ScheddHarness
from tests.unit.vobox.schedd.test_rebuild_random import POLICIES, STEPS, play
from thyme.protocol import codec
from thyme.protocol.events import Submit

#: Without days: after 30 of them, the history is forgotten.
THINGS = STEPS.filter(lambda step: step[0] != "days")
#: How many of the last, or of the first, records are lost; "all": the stream was deleted.
LOSSES = st.one_of(
    st.tuples(st.just("last"), st.integers(1, 8)),
    st.tuples(st.just("first"), st.integers(1, 8)),
    st.tuples(st.just("all"), st.just(0)),
    st.tuples(st.just("queue"), st.just(0)),
)


def lose(bench: ScheddHarness, what: str, number: int) -> None:
    if what == "first":
        bench.broker.trim(number)
    elif what == "last":
        del bench.broker.stream[-number:]
    elif what == "all":
        bench.broker.stream.clear()
    if what in ("last", "all"):  # offsets are given again
        stream = bench.broker.stream
        bench.broker._last_offset = stream[-1].offset if stream else 0
    if what in ("all", "queue"):
        bench.transport.purge_queue("pool")


def let_workers_take_all(bench: ScheddHarness, jobs: list[Events]) -> None:
    """Let workers start every job whose message is in the queue, and go on with what they run."""
    while (delivery := bench.transport.take("pool")) is not None:
        message = codec.decode(delivery.body)
        assert isinstance(message, Submit)
        job = bench.job(message.job)
        if job.in_queue and job.status == 1 and job.queued and job.attempt == message.attempt:
            (e,) = [each for each in jobs if each.job == job.id]
            bench.record(e.started("w9", job.attempt))
        bench.transport.ack(delivery)
    for job_id, _lease in bench.ledger.list_worked_on():
        if bench.job(job_id).status == 2:
            bench.leases.renew(job_id, bench.clock.now + 301)


@given(
    policies=st.lists(POLICIES, min_size=3, max_size=3),
    before=st.lists(THINGS, max_size=12),
    losses=st.lists(LOSSES, min_size=1, max_size=2),
    after=st.lists(THINGS, max_size=6),
)
@settings(max_examples=50, deadline=None)
def test_no_loss_of_the_broker_costs_a_job(
    policies: list[dict[str, str]],
    before: list[tuple[str, int, str]],
    losses: list[tuple[str, int]],
    after: list[tuple[str, int, str]],
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        bench = ScheddHarness(Path(directory), lease=300.0)
        bench.broker.time = bench.wall  # type: ignore[method-assign]
        jobs = play(bench, policies, before)
        ended = {e.job: bench.job(e.job).status for e in jobs if not bench.job(e.job).in_queue}
        for loss in losses:
            lose(bench, *loss)

        bench.restart()
        play(bench, policies, after, jobs)
        for _ in range(8):
            let_workers_take_all(bench, jobs)
            bench.clock.now += 301
            bench.end_leases()
        let_workers_take_all(bench, jobs)

        assert {job: bench.job(job).status for job in ended} == ended
        waiting = [e.job for e in jobs if bench.job(e.job).status == 1]
        assert waiting == [], "they are idle for ever"
        bench.close()
