"""Command lines of condor_rm and the like: words, options, and what is wrong with them."""

import pytest

from tests.support.fake_command_queue import Queue
from tests.support.schedd_parts import SCHEDD
from vobox.client.usage import USAGES
from vobox.rpc.types import Answer

# --- command lines ------------------------------------------------------------------------------


def test_an_empty_argument_is_ignored(queue: Queue) -> None:
    # DIRAC with a local schedd; HTCondor complains, which fails DIRAC
    assert queue.run("condor_rm", "", "5.0") == Answer("Job 5.0 marked for removal\n", "", 0)
    expected = "You did not specify any jobs\n" + USAGES["condor_rm"]
    assert queue.run("condor_rm", "") == Answer("", expected, 1)


def test_a_cluster_0_is_complained_of_and_the_others_are_carried_out(queue: Queue) -> None:
    said = queue.run("condor_rm", "0", "5.0")
    assert said.stdout == "Job 5.0 marked for removal\n"
    assert said.stderr.startswith("Invalid cluster # from 0.\n")
    assert said.code == 1
    assert queue.states()["5.0"] == 3


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("condor_hold 5 -subcode 1x", "Invalid -subcode 1x!\n"),
        ("condor_rm -all 5", "condor_rm: can't mix -all with other constraints\n"),
        ("condor_rm -constraint 1 -all", "condor_rm: can't mix -all with other constraints\n"),
        ("condor_rm -constraint -all", "condor_rm: -constraint requires another argument\n"),
        ("condor_hold -addr -all", "condor_hold: -addr requires another argument\n"),
        ("condor_rm -tr 5", "condor_rm: -tr: no output is kept of a job that is removed\n"),
        ("condor_rm -long 5", "condor_rm: -long: the answer as a ClassAd is not known here\n"),
    ],
)
def test_a_wrong_option_is_explained_and_nothing_is_done(
    queue: Queue, command: str, text: str
) -> None:
    states = queue.states()
    assert queue.run(*command.split()) == Answer("", text, 1)
    assert queue.states() == states


@pytest.mark.parametrize(
    ("command", "said", "left"),
    [
        # as HTCondor 25.14.1
        ("condor_rm -held 5", "All held jobs in cluster 5 have been marked for removal", "5.1"),
        ("condor_rm -hold", "All held jobs have been marked for removal", "5.1"),
        ("condor_release -hel -all", "All held jobs have been released", "5.0 5.1"),
        (
            "condor_rm 5.0 -held -subcode 3",
            "All held jobs matching constraint ((ClusterId == 5 && ProcId == 0)) "
            "have been marked for removal",
            "5.1",
        ),
        (
            "condor_rm -held 5.0 5.1 6",
            "All held jobs matching constraint (ClusterId == 6 || (ClusterId == 5 && ProcId == 0) "
            "|| (ClusterId == 5 && ProcId == 1)) have been marked for removal",
            "5.1",
        ),
    ],
)
def test_held_takes_the_held_jobs_among_those_that_are_meant(
    queue: Queue, command: str, said: str, left: str
) -> None:
    queue.run("condor_hold", "5.0")
    assert queue.run(*command.split()) == Answer(said + "\n", "", 0)
    states = {job: state for job, state in queue.states().items() if job.startswith("5.")}
    assert states == {job: 1 if job in left.split() else 3 for job in ("5.0", "5.1")}
    assert queue.states()["6.0"] == 1


def test_held_says_where_no_job_is_held(queue: Queue) -> None:
    said = "\nCouldn't find/remove all held jobs in cluster 5\n"
    assert queue.run("condor_rm", "-held", "5") == Answer("", said, 1)
    assert queue.states()["5.0"] == 1


@pytest.mark.parametrize("name", [SCHEDD, "vobox1", "VOBOX1.example.org", "localhost"])
def test_our_own_name_in_any_form_is_accepted(queue: Queue, name: str) -> None:
    assert queue.run("condor_rm", "-pool", "x:9619", "-name", name, "5").code == 0


def test_totals_are_one_line_a_group(queue: Queue) -> None:
    said = queue.run("condor_rm", "-totals", "-constraint", "true")
    assert said.stdout.splitlines()[0] == (
        "5 Succeeded, 0 Failed, 0 Not Found, 0 Bad Status, 0 Already Done, 1 Permission Denied"
    )
