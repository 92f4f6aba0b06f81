"""A job whose Requirements no machine can meet stays Idle, and is not run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fake_submit_host import Host
from tests.support.schedd_parts import Bench
from thyme.protocol.events import Lost, Recorded, Started, Submit
from thyme.protocol.job import JobId
from vobox.classad.ad import Ad
from vobox.jobs.requirements import can_match

HEAD = "executable = agent.sh\n"


@pytest.mark.parametrize(
    ("requirements", "matches"),
    [
        ("", True),
        ("true", True),
        ("false", False),
        ("0", False),
        ("NumJobStarts == 0", True),
        ("NumJobStarts > 0", False),
        ("MY.NumJobStarts > 0", False),
        ('OpSys == "WINDOWS"', False),
        ('TARGET.OpSys == "LINUX"', True),
        ('Arch == "INTEL"', True),
        ("Memory > 1000000000", True),
        ("time() > 0 && CurrentTime > 0", True),
        ("CurrentTime > 2000000000", False),
        ('"text"', True),
        ("random(0) == x", True),
    ],
)
def test_only_what_is_false_for_every_machine_cannot_match(
    requirements: str, matches: bool
) -> None:
    line = f"requirements = {requirements}\n"
    (job,) = Host().jobs(f"{HEAD}{line}queue\n")

    assert job.unmatched is not matches
    assert job.ad["JobStatus"] == "1"


def test_the_custom_attribute_counts_as_the_command() -> None:
    assert Host().job(f"{HEAD}+Requirements = false\nqueue\n").unmatched


def test_each_job_of_a_cluster_is_asked_for_itself() -> None:
    jobs = Host().jobs(f"{HEAD}requirements = ProcId > 0\nqueue 3\n")
    assert [job.unmatched for job in jobs] == [True, False, False]
    jobs = Host().jobs(f"{HEAD}requirements = $(x)\nqueue x in (true false)\n")
    assert [job.unmatched for job in jobs] == [False, True]


def test_a_held_job_is_held_first() -> None:
    job = Host().job(f"{HEAD}requirements = false\nhold = true\nqueue\n")

    assert (job.on_hold, job.unmatched) == (True, False)


def test_an_ad_without_requirements_matches() -> None:
    assert can_match(Ad(), 0.0)


@pytest.fixture
def bench(tmp_path: Path):
    made = Bench(tmp_path)
    yield made
    made.close()


def recorded(requirements: str) -> Recorded:
    job = Host().job(f"{HEAD}requirements = {requirements}\nqueue\n")
    ad = dict(job.ad.pairs())
    return Recorded("vobox1.example.org", JobId(1, 0), 1000.0, "pool", 1, 1, ad, job.task)


def test_it_is_idle_in_no_queue_and_looked_at_again_later(bench: Bench) -> None:
    later = int(bench.wall.now) + 1000
    bench.record(recorded(f"CurrentTime > {later}"))
    job = bench.job(JobId(1, 0))
    assert (job.status, job.queued) == (1, False)
    bench.settle()
    assert bench.kinds(JobId(1, 0)) == ["recorded"]

    bench.wall.now = later + 1.0
    bench.settle()
    assert bench.kinds(JobId(1, 0)) == ["recorded"], "not before its time"
    bench.clock.now += bench.settings.policy_interval
    bench.settle()

    assert bench.kinds(JobId(1, 0)) == ["recorded", "submit"]
    assert bench.job(JobId(1, 0)).queued


def test_it_stays_idle_after_a_wipe_and_can_be_removed(bench: Bench, tmp_path: Path) -> None:
    bench.record(recorded("false"))
    bench.restart(wiped=True)

    assert bench.job(JobId(1, 0)).status == 1
    assert bench.kinds(JobId(1, 0)) == ["recorded"]


def test_arcs_jobs_never_start_twice(bench: Bench) -> None:
    job = Host().job(f"{HEAD}requirements = (NumJobStarts == 0)\nqueue\n")
    assert not job.unmatched
    name, ad = "vobox1.example.org", dict(job.ad.pairs())
    one = JobId(1, 0)
    bench.submit(Submit(name, one, 1000.0, "pool", 1, 1, 0, ad, job.task))
    bench.record(Started(name, one, 1001.0, 0, "w", "h"))

    bench.record(Lost(name, one, 1002.0, 0, "no news"))

    found = bench.job(one)
    assert (found.status, found.queued) == (1, False)
    assert bench.kinds(one) == ["submit", "started", "lost"]
