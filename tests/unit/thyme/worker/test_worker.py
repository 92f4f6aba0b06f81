"""How a worker leaves, how many jobs it takes and how long it waits, in virtual time."""

import pytest

from tests.support.virtual_worker import POOL, Site, job
from thyme.errors import NodeUnfit
from thyme.worker.sandbox import Sandbox


def test_a_second_sigterm_kills_at_once(site: Site) -> None:
    site.submit(job(seconds=500, kill_grace=30.0, environment={"DYING": "99"}))
    site.after(100, site.signal)
    site.after(103, site.signal)

    assert site.run() == 143

    assert site.signals == ["15 at 100", "9 at 103"]
    assert site.kinds() == ["started", "evicted"]


def test_a_worker_signalled_while_it_claims_requeues_the_job(site: Site) -> None:
    site.schedd.delay = 1e9
    site.submit(job())
    site.after(1, site.signal)

    assert site.run() == 143

    # the schedd recorded the start, and would wait for a lease
    assert site.kinds() == ["started", "evicted"]
    (left,) = site.broker.queues[POOL].values()
    assert left.owner is None


def test_the_timeout_counts_from_the_last_job(site: Site) -> None:
    site.submit(job(seconds=30))
    site.after(35, lambda: site.submit(job(seconds=30, name="2.0")))

    assert site.run(timeout=10.0, max_jobs=0) == 0

    assert site.clock() - site.start == pytest.approx(75, abs=1)
    assert site.kinds() == ["started", "finished"] * 2


def test_no_other_job_runs_beside_processes_that_cannot_be_killed(site: Site) -> None:
    site.submit(job(environment={"UNKILLABLE": "1"}), job(name="2.0"))

    with pytest.raises(NodeUnfit, match=r"^processes of job 1\.0 cannot be killed$"):
        site.run(max_jobs=0)

    assert site.kinds() == ["started", "finished"]
    assert len(site.broker.queues[POOL]) == 1


def test_the_end_is_reported_before_the_scratch_directory_is_removed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a job leaves may take longer to remove than its lease lasts."""
    known: list[list[str]] = []
    remove = Sandbox.remove

    def look(sandbox: Sandbox) -> None:
        known.append(site.kinds())
        remove(sandbox)

    monkeypatch.setattr(Sandbox, "remove", look)
    site.submit(job(seconds=5))
    site.run()
    assert known[-1] == ["started", "finished"]
