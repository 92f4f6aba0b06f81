"""kill -9 of each process at random moments, eighteen times: nothing lost, nothing doubled.

One kill on a new site each; ``test_chaos`` has many on one site.
"""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.truth import (
    JOBS,
    check_jobs,
    check_runs,
    kill,
    kill_condor_submit,
    list_jobs,
    list_jobs_of,
    submit_jobs,
    wait_some,
    write_job,
)
from tests.support.process_site import LiveSite
from tests.support.waiting import wait_until

RUNS = 18
VICTIMS = ("schedd", "plancton", "worker", "pilot", "schedd and its disk", "condor_submit")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[LiveSite]:
    site = LiveSite(tmp_path)
    try:
        yield site
    finally:
        left = site.stop()
    assert left == []


@pytest.mark.kill
@pytest.mark.parametrize("run", range(RUNS))
def test_killing_a_process_at_a_random_moment_loses_and_doubles_nothing(
    site: LiveSite, run: int
) -> None:
    victim = VICTIMS[run % len(VICTIMS)]
    moment = random.Random(run).uniform(0.0, 1.0)
    script = write_job(site)
    site.start_schedd()
    site.start_plancton()

    if victim == "condor_submit":
        kill_condor_submit(site, script, moment)
    cluster = submit_jobs(site, script)
    wait_some(moment, site)
    killed_workers = kill(site, victim)

    wait_until(
        lambda: all(line.endswith(" 4") for line in list_jobs(site)),
        f"all jobs to complete after kill -9 of {victim} at {moment:.2f} s",
        timeout=90.0,
        state=lambda: "\n".join([*list_jobs(site), (site.root / "schedd.log").read_text()]),
    )

    clusters = Counter(line.partition(".")[0] for line in list_jobs(site))
    # a client that is killed leaves all of its jobs, or none; the others are all there
    assert set(clusters.values()) == {JOBS}
    assert str(cluster) in clusters
    check_jobs(site, set(clusters))
    check_runs(site, set(clusters), list_jobs_of(site, killed_workers))
