"""A job whose Requirements no machine can meet stays Idle, and is not run."""

from pathlib import Path

import pytest

from tests.support.fake_submit_host import FakeSubmitHost
from tests.support.schedd_parts import LIFE, ScheddHarness
from thyme.protocol.events import Lost, Machine, Recorded, Started, Submit
from thyme.protocol.job import JobId
from thyme.protocol.mail import Waiting
from vobox.classad.ad import Ad
from vobox.jobs.requirements import NEW_PILOT_SECONDS, can_match

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
    (job,) = FakeSubmitHost().make_jobs(f"{HEAD}{line}queue\n")

    assert job.unmatched is not matches
    assert job.ad["JobStatus"] == "1"


PILOT = {
    "Machine": '"node1"', "Name": '"slot1_7@node1"', "OpSysAndVer": '"Debian12"',
    "Arch": '"X86_64"', "Cpus": "1", "Memory": "2000", "Disk": "1000000",
}  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "matches"),
    [
        ('requirements = OpSysAndVer =?= "Debian12"', True),
        ('requirements = OpSysAndVer =?= "AlmaLinux9"', False),
        ('requirements = OpSysAndVer =!= "AlmaLinux9"', True),
        ("requirements = Machine =!= LastRemoteHost", True),
        ("requirements = Machine =!= LastRemoteHost\n+LastRemoteHost = TARGET.Machine", False),
        ("requirements = TARGET.Memory > 1999", True),
        ("requirements = TARGET.Memory > 2000", False),
        ("request_memory = 2000", True),
        ("request_memory = 2001", False),
        ("request_cpus = 8", True),
        ("request_cpus = 8\nrequirements = Cpus >= 8", False),
        ("requirements = HasSingularity", True),
        ("requirements = HasSingularity =!= false", True),
        ("requirements = HasSingularity =?= true", False),
        ('requirements = regexp("^node", Machine)', True),
        ('requirements = regexp("^wn", Machine)', False),
    ],
)
def test_requirements_are_compared_with_what_the_pilots_say(lines: str, matches: bool) -> None:
    host = FakeSubmitHost()
    host.target.pilots = [PILOT]
    (job,) = host.make_jobs(f"{HEAD}{lines}\nqueue\n")

    assert job.unmatched is not matches


def test_one_pilot_that_meets_them_is_enough() -> None:
    pilots = [{**PILOT, "Machine": f'"node{i}"', "Memory": str(1000 * i)} for i in range(1, 4)]
    host = FakeSubmitHost()
    host.target.pilots = pilots

    assert not host.make_job(f"{HEAD}requirements = Memory == 3000\nqueue\n").unmatched
    (job,) = host.make_jobs(f'{HEAD}requirements = Memory == 3000 && Machine == "node1"\nqueue\n')
    assert job.unmatched


def test_the_custom_attribute_counts_as_the_command() -> None:
    assert FakeSubmitHost().make_job(f"{HEAD}+Requirements = false\nqueue\n").unmatched


def test_each_job_of_a_cluster_is_asked_for_itself() -> None:
    jobs = FakeSubmitHost().make_jobs(f"{HEAD}requirements = ProcId > 0\nqueue 3\n")
    assert [job.unmatched for job in jobs] == [True, False, False]
    jobs = FakeSubmitHost().make_jobs(f"{HEAD}requirements = $(x)\nqueue x in (true false)\n")
    assert [job.unmatched for job in jobs] == [False, True]


def test_a_held_job_is_held_first() -> None:
    job = FakeSubmitHost().make_job(f"{HEAD}requirements = false\nhold = true\nqueue\n")

    assert (job.on_hold, job.unmatched) == (True, False)


@pytest.mark.parametrize(
    ("requirements", "is_shared"),
    [
        ("MY.FileSystemDomain == TARGET.FileSystemDomain", True),  # condor_submit adds it to all
        ("x == 1 && my.Tag =!= 3", True),
        ("random(2) == 5", False),
        ('eval("ProcId") == -1', False),
        ("MY is undefined", False),
    ],
)
def test_jobs_whose_ads_say_the_same_share_the_answer(requirements: str, is_shared: bool) -> None:
    """A hundred thousand jobs that can match no pilot cost little more than one."""
    answers: dict[tuple[str | None, ...], bool] = {}
    can_match(Ad({"Requirements": requirements, "ProcId": "7"}), 0.0, answers=answers)
    assert bool(answers) is is_shared


def test_an_ad_without_requirements_matches() -> None:
    assert can_match(Ad(), 0.0)


def recorded(requirements: str) -> Recorded:
    job = FakeSubmitHost().make_job(f"{HEAD}requirements = {requirements}\nqueue\n")
    ad = dict(job.ad.pairs())
    return Recorded(
        "vobox1.example.org", JobId(1, 0), 1000.0, "pool", 1, 1, ad, job.task, life=LIFE
    )


def test_it_is_idle_in_no_queue_and_looked_at_again_later(bench: ScheddHarness) -> None:
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


def announce(bench: ScheddHarness, worker: str, system: str) -> None:
    machine = Machine(1, 2000, 10**6, "X86_64", "LINUX", system)
    bench.state.slots.record_waiting(
        Waiting(worker, "slot1_1@node1", "pool", 1000.0, 60.0, machine), bench.clock.now
    )


def test_it_runs_when_a_pilot_comes_that_meets_its_requirements(bench: ScheddHarness) -> None:
    announce(bench, "w1", "AlmaLinux9")
    bench.record(recorded('OpSysAndVer =?= "Debian12"'))
    assert bench.kinds(JobId(1, 0)) == ["recorded"]
    announce(bench, "w2", "Debian12")
    bench.clock.now += NEW_PILOT_SECONDS
    bench.settle()

    assert bench.kinds(JobId(1, 0)) == ["recorded", "submit"]


def test_it_stays_idle_after_a_wipe_and_can_be_removed(
    bench: ScheddHarness, tmp_path: Path
) -> None:
    bench.record(recorded("false"))
    bench.restart(wiped=True)

    assert bench.job(JobId(1, 0)).status == 1
    assert bench.kinds(JobId(1, 0)) == ["recorded"]


def test_arcs_jobs_never_start_twice(bench: ScheddHarness) -> None:
    job = FakeSubmitHost().make_job(f"{HEAD}requirements = (NumJobStarts == 0)\nqueue\n")
    assert not job.unmatched
    name, ad = "vobox1.example.org", dict(job.ad.pairs())
    one = JobId(1, 0)
    bench.submit(Submit(name, one, 1000.0, "pool", 1, 1, 0, ad, job.task, life=LIFE))
    bench.record(Started(name, one, 1001.0, 0, "w", "h", life=LIFE))

    bench.record(Lost(name, one, 1002.0, 0, "no news"))

    found = bench.job(one)
    assert (found.status, found.queued) == (1, False)
    assert bench.kinds(one) == ["submit", "started", "lost"]
