"""The ads in a job's scratch directory, and what a job gets of its machine."""

import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import classad2
import pytest

from tests.support.fake_broker import FakeBroker
from tests.support.fake_schedd import FakeSchedd, submission
from thyme.protocol.codec import encode
from thyme.protocol.events import Finished, Machine, Submit
from thyme.protocol.job import Task
from thyme.worker import job_ads
from thyme.worker.shutdown import Shutdown
from thyme.worker.start_errors import CannotStart
from thyme.worker.worker import Worker, WorkerSettings

SLOT = "slot1_7@node1.example.org"
NODE: dict[str, str | int] = {"UtsnameVersion": '#1 "SMP"', "DetectedCpus": 64}
MACHINE = Machine(4, 2000, 10**6, "X86_64", "LINUX", "Debian12", 0.5)
AD = {
    "GlobalJobId": '"vobox#12.3#1700000000"',
    "ClusterId": "12",
    "ProcId": "3",
    "User": '"alice@example.org"',
    "JobStatus": "1",
    "RequestCpus": "1",
    "Cmd": r'"/home/a\\b \"c\""',
    "Rank": "ifThenElse(Memory > 1, 0.5, 0.0)",
}


def job(**changes: str) -> Submit:
    return replace(submission(Task("/bin/true"), "12.3"), ad={**AD, **changes})


def read(text: bytes) -> classad2.ClassAd:
    """Read an ad as HTCondor's own library does."""
    return classad2.parseOne(text.decode())


def test_htcondors_library_reads_the_job_ad() -> None:
    ad = read(
        job_ads.format_ad(job_ads.build_job_ad(job(), SLOT, 1700000001.5, "/scratch", MACHINE))
    )

    assert ad["GlobalJobId"] == "vobox#12.3#1700000000"
    assert (ad["ClusterId"], ad["ProcId"], ad["JobStatus"]) == (12, 3, 2)
    assert ad["Cmd"] == r'/home/a\b "c"'
    assert (ad["RemoteHost"], ad["JobCurrentStartDate"]) == (SLOT, 1700000001)
    provided = [ad[f"{name}Provisioned"] for name in ("Cpus", "Memory", "Disk")]
    assert provided == [4, 2000, 10**6]


def test_the_job_ad_says_where_the_job_finds_its_files() -> None:
    # HTCondor 25.14.1's .job.ad of a job with output and without error
    there = job(Iwd='"/home/a"', Out='"o.txt"', Err='"/dev/null"')
    ad = read(job_ads.format_ad(job_ads.build_job_ad(there, SLOT, 1.0, "/scratch", None)))
    assert (ad["Iwd"], ad["OrigIwd"]) == ("/scratch", "/home/a")
    assert (ad["Out"], ad["OriginalOut"]) == ("_condor_stdout", "o.txt")
    assert (ad["Err"], "OriginalErr" in ad, ad["LastJobStatus"]) == ("/dev/null", False, 1)
    assert "CpusProvisioned" not in ad

    runs_at_home = replace(there, task=replace(there.task, directory="/home/a"))
    ad = read(job_ads.format_ad(job_ads.build_job_ad(runs_at_home, SLOT, 1.0, "/scratch", None)))
    assert (ad["Iwd"], ad["Out"], "OrigIwd" in ad) == ("/home/a", "o.txt", False)


@pytest.mark.parametrize(
    ("text", "size"), [("7000", 7000), ("-1", -1), ("-2", 0), ("1+1", 0), ("9" * 19, 0)]
)
def test_a_job_says_how_large_its_core_file_may_be(text: str, size: int) -> None:
    assert job_ads.get_core_size({"CoreSize": text}) == size
    assert job_ads.get_core_size({}) == 0


@pytest.mark.parametrize(("size", "limit"), [(7000, 7000), (0, 0), (10**9, 10**6), (-1, 10**6)])
def test_the_limit_of_a_core_file_is_set_up_to_the_largest_allowed(size: int, limit: int) -> None:
    before = resource.getrlimit(resource.RLIMIT_CORE)
    program = (
        "import resource; from thyme.worker import processes\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 10**6))\n"
        f"processes.set_largest_core_file({size})\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (f"({limit}, 1000000)\n", "")
    assert resource.getrlimit(resource.RLIMIT_CORE) == before


def test_htcondors_library_reads_the_machine_ad() -> None:
    ad = read(job_ads.format_ad(job_ads.build_machine_ad(AD, MACHINE, SLOT, 1700000001.5, NODE)))

    assert (ad["Cpus"], ad["Memory"], ad["Disk"], ad["TotalSlotCpus"]) == (4, 2000, 10**6, 4)
    assert (ad["Name"], ad["Machine"]) == (SLOT, "node1.example.org")
    assert (ad["Arch"], ad["OpSys"], ad["OpSysAndVer"]) == ("X86_64", "LINUX", "Debian12")
    assert (ad["OpSysName"], ad["OpSysMajorVer"]) == ("Debian", 12)
    assert (ad["JobId"], ad["RemoteOwner"]) == ("12.3", "alice@example.org")
    assert (ad["UtsnameVersion"], ad["DetectedCpus"]) == ('#1 "SMP"', 64)


@pytest.mark.parametrize(
    ("asked", "machine", "cpus"),
    [
        ("1", MACHINE, 4),
        ("8", MACHINE, 8),
        ("8", None, 8),
        ("ifThenElse(true, 8, 1)", MACHINE, 4),
        ("-3", None, 1),
        ("\u0663", None, 1),
        ("9" * 30, None, 1),
        ("999999999", None, 4096),
    ],
)
def test_a_job_has_the_pilots_cpus_or_those_that_it_requested(
    asked: str, machine: Machine | None, cpus: int
) -> None:
    assert job_ads.count_cpus_of_job({"RequestCpus": asked}, machine) == cpus


def complete(**task: object) -> Task:
    made = Task("/bin/true", **task)  # type: ignore[arg-type]
    return job_ads.complete_task(made, job_ads.build_machine_ad(AD, MACHINE, SLOT, 1.0, {}), "/s")


def test_libraries_are_told_the_number_of_threads_unless_the_job_says_it() -> None:
    seen = complete(environment={"OMP_NUM_THREADS": "2"}).environment

    assert seen == {**dict.fromkeys(job_ads.THREAD_VARIABLES, "4"), "OMP_NUM_THREADS": "2"}


def test_references_to_the_machine_are_filled_in() -> None:
    task = complete(
        arguments=("$$(CondorScratchDir)/x", "$$(opsys)-$$(Arch:none)", "$$(Mips:7)", "$$(", "$$"),
        environment={"N": "$$(Cpus)"},
    )

    assert task.arguments == ("/s/x", "LINUX-X86_64", "7", "$$(", "$$")
    assert task.environment["N"] == "4"


def test_a_reference_that_the_machine_cannot_answer_holds_the_job() -> None:
    with pytest.raises(CannotStart) as caught:
        complete(arguments=("$$(Mips)",))

    assert caught.value.hold.text == "Cannot expand $$(Mips): this machine does not have it"


@pytest.mark.own_process
def test_a_real_job_finds_both_ads_and_none_of_the_job_before(tmp_path: Path) -> None:
    script = (
        'cat "$_CONDOR_JOB_AD"; echo; cat "$_CONDOR_MACHINE_AD"; echo; '
        'ls -A; echo "$OMP_NUM_THREADS" "$1" "$PWD"'
    )
    jobs = [
        replace(
            submission(Task("/bin/sh", ("-c", script, "sh", "$$(CondorScratchDir)")), f"7.{n}"),
            ad={**AD, "ProcId": str(n), "Extra": f'"{"x" * (1000 - 900 * n)}"'},
        )
        for n in range(2)
    ]
    broker = FakeBroker()
    FakeSchedd(broker)
    broker.submit("pool", [encode(each) for each in jobs])
    settings = WorkerSettings("pool", tmp_path, timeout=0.0, max_jobs=2, user="self")
    Worker(settings, broker.connect, Shutdown()).run()

    ended = [message for message in broker.messages() if isinstance(message, Finished)]
    assert len(ended) == 2
    for number, end in enumerate(ended):
        assert end.files == () and end.exit_code == 0
        job_text, machine_text, rest = end.stdout.decode().split("\n\n")
        job_ad, machine_ad = classad2.parseOne(job_text), classad2.parseOne(machine_text)
        assert (job_ad["ProcId"], len(job_ad["Extra"])) == (number, 1000 - 900 * number)
        uname = subprocess.check_output(["uname", "-n", "-r"], text=True).split()
        assert [machine_ad["Machine"], machine_ad["UtsnameRelease"]] == uname
        assert machine_ad["DetectedCpus"] >= 1 and machine_ad["DetectedMemory"] > 1
        *names, last = rest.splitlines()
        assert names == [".job.ad", ".machine.ad", "_condor_stderr", "_condor_stdout"]
        threads, scratch, here = last.split()
        assert (int(threads), scratch) == (machine_ad["Cpus"], here)
