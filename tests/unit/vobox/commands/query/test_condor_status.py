"""condor_status -schedd: contract, section 4.4."""

import json

import pytest

from tests.support.fake_query_queue import FakeQueue, ask, job, out
from vobox.commands.query.condor_status import answer as condor_status

QUEUE = FakeQueue(
    [
        job(1, 0, 2),
        job(1, 1, 6),
        job(1, 2, 7, Owner="bob"),
        job(2, 0, 1, Owner="bob"),
        job(3, 0, 5),
        job(4, 0, 3),
        job(5, 0, 4),
    ]
)


def test_the_question_of_alien_is_one_line_of_the_asked_integers_and_reads_no_job() -> None:
    asked = ("-schedd", "-af", "totalRunningJobs", "totalIdleJobs", "totalHeldJobs")
    assert out(condor_status, QUEUE, *asked) == "3 1 1\n"
    assert QUEUE.read == 0
    assert out(condor_status, QUEUE, "-schedd", "-af", "TOTALIDLEJOBS") == "1\n"
    assert out(condor_status, FakeQueue(), *asked) == "0 0 0\n"


def test_the_table_is_exact() -> None:
    queue = FakeQueue([job(1)], schedd_name="vobox1")
    assert out(condor_status, queue, "-schedd") == (
        "Name            Machine      RunningJobs   IdleJobs   HeldJobs\n"
        "\n"
        "vobox1          vobox1                 0          1          0\n"
        "\n"
        "                TotalRunningJobs      TotalIdleJobs      TotalHeldJobs\n"
        "\n"
        "              \n"
        "         Total                 0                  1                  0\n"
    )
    total = out(condor_status, queue, "-schedd", "-total")
    assert total.startswith("\n" + " " * 16 + "TotalRunningJobs")


def test_the_other_forms() -> None:
    assert out(condor_status, QUEUE, "-sc", "-format", "%d\n", "TotalHeldJobs") == "1\n"
    ad = json.loads(out(condor_status, QUEUE, "-schedd", "-json"))[0]
    assert ad["Name"] == ad["Machine"] == "vobox1.example.org"
    assert ad["MyType"] == "Scheduler"
    assert (ad["TotalRemovedJobs"], ad["TotalJobAds"]) == (1, 7)
    lines = out(condor_status, QUEUE, "-schedd", "-long").splitlines()
    assert "TotalRunningJobs = 3" in lines
    asked = ("-schedd", "-xml", "-attributes", "TotalIdleJobs")
    assert '<a n="TotalIdleJobs"><i>1</i></a>' in out(condor_status, QUEUE, *asked)


@pytest.mark.parametrize(
    ("argv", "found"),
    [
        (["vobox1.example.org"], True),
        (["vobox1"], True),
        (["-name", "VOBOX1"], True),
        (["other"], False),
        (["-const", "TotalHeldJobs > 0"], True),
        (["-const", "TotalHeldJobs > 5"], False),
        (["-pool", "vobox1.example.org:9619"], True),
        (["-pool", "localhost"], True),
        (["-limit", "1"], True),
    ],
)
def test_which_schedd(argv: list[str], found: bool) -> None:
    printed = out(condor_status, QUEUE, "-schedd", *argv, "-af", "TotalIdleJobs")
    assert printed == ("1\n" if found else "")


def test_counts_that_cannot_be_trusted_are_not_printed() -> None:
    queue = FakeQueue([job(1)], trouble="no broker for 42 s")
    answer = ask(condor_status, queue, "-schedd", "-af", "totalRunningJobs", "totalIdleJobs")
    assert (answer.stdout, answer.code) == ("", 1)
    assert answer.stderr == (
        "Error: communication error\nThe job counts are not known: no broker for 42 s\n"
    )
    assert ask(condor_status, queue, "-schedd").stdout == ""


def test_another_pool_is_named_on_stderr() -> None:
    answer = ask(condor_status, QUEUE, "-schedd", "-pool", "elsewhere")
    assert answer.stderr == "Error: Couldn't contact the condor_collector on elsewhere.\n"
    assert (answer.stdout, answer.code) == ("", 1)
