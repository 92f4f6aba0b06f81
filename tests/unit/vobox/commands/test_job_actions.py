"""condor_rm, condor_hold, condor_release: what is said, on which stream, with which code."""

from __future__ import annotations

import time

import pytest

from tests.support.fake_command_queue import BOB, Queue
from tests.support.schedd_parts import Events
from tests.support.slow_expressions import make_slow
from thyme.protocol.job import JobId
from vobox.rpc.types import Answer

# --- job ids ------------------------------------------------------------------------------------


def test_each_job_is_named_when_ids_are_given(queue: Queue) -> None:
    said = queue.run("condor_rm", "4.0", "5.1")
    assert said == Answer("Job 4.0 marked for removal\nJob 5.1 marked for removal\n", "", 0)
    assert queue.states() == {"4.0": 3, "5.0": 1, "5.1": 3, "6.0": 1, "6.1": 1, "9.0": 1}
    assert queue.run("condor_hold", "5.0") == Answer("Job 5.0 held\n", "", 0)
    assert queue.run("condor_release", "5.0") == Answer("Job 5.0 released\n", "", 0)


def test_one_job_found_among_the_ids_is_a_success(queue: Queue) -> None:
    said = queue.run("condor_rm", "4.0", "99.0")
    assert said == Answer("Job 4.0 marked for removal\n", "Job 99.0 not found\n", 0)


def test_a_whole_request_that_failed_starts_with_an_empty_line(queue: Queue) -> None:
    assert queue.run("condor_rm", "99.0") == Answer("", "\nJob 99.0 not found\n", 1)
    said = queue.run("condor_rm", "99.0", "99.1")
    assert said == Answer("", "\nJob 99.0 not found\nJob 99.1 not found\n", 1)


@pytest.mark.parametrize(
    ("before", "command", "text"),
    [
        (["condor_rm 5.0"], "condor_rm 5.0", "Job 5.0 already marked for removal"),
        (["condor_rm 5.0"], "condor_hold 5.0", "Permission denied to hold job 5.0"),
        (["condor_rm 5.0"], "condor_release 5.0", "Job 5.0 not held to be released"),
        (["condor_hold 5.0"], "condor_hold 5.0", "Job 5.0 already held"),
        ([], "condor_release 5.0", "Job 5.0 not held to be released"),
        ([], "condor_rm -forcex 9.0", "Permission denied to force removal of job 9.0"),
        ([], "condor_suspend 6.0", "Job 6.0 not running to be suspended"),
        ([], "condor_continue 6.0", "Job 6.0 not running to be continued"),
        ([], "condor_continue 5.0", "Job 5.0 already running"),
        (["condor_suspend 5.0"], "condor_suspend 5.0", "Job 5.0 already suspended"),
        ([], "condor_vacate_job 6.0", "Job 6.0 not running to be vacated"),
        ([], "condor_vacate_job -fast 6.0", "Job 6.0 not running to be fast-vacated"),
        ([], "condor_suspend 9.0", "Permission denied to suspend job 9.0"),
        ([], "condor_vacate_job 9.0", "Permission denied to vacate job 9.0"),
        ([], "condor_vacate_job -fast 9.0", "Permission denied to fast-vacate job 9.0"),
        ([], "condor_rm -forcex 5.0", "Job 5.0 not in `X' state to be forcibly removed"),
        ([], "condor_rm 9.0", "Permission denied to remove job 9.0"),
        ([], "condor_hold 9.0", "Permission denied to hold job 9.0"),
        ([], "condor_release 9.0", "Permission denied to release job 9.0"),
        ([], "condor_rm 999999999.0", "Job 999999999.0 not found"),
    ],
)
def test_why_a_job_is_not_acted_on(
    queue: Queue, before: list[str], command: str, text: str
) -> None:
    queue.bench.record(Events(JobId(5, 0)).started())  # keeps a removed job in the queue
    for each in before:
        assert queue.run(*each.split()).code == 0
    states = queue.states()
    assert queue.run(*command.split()) == Answer("", f"\n{text}\n", 1)
    assert queue.states() == states


def test_a_job_that_left_is_not_found(queue: Queue) -> None:
    queue.run("condor_rm", "5.0")
    assert queue.run("condor_rm", "5.0") == Answer("", "\nJob 5.0 not found\n", 1)


def test_the_same_job_twice_is_acted_on_once(queue: Queue) -> None:
    # as with HTCondor, both times with the last result
    twice = "Job 5.0 already marked for removal\n" * 2
    assert queue.run("condor_rm", "5.0", "5.0") == Answer("", twice)
    assert queue.states()["5.0"] == 3


def test_parsls_two_commands_both_succeed_on_a_job_that_stays_in_the_queue(queue: Queue) -> None:
    queue.add("7.0", keep=True)
    assert queue.run("condor_rm", "7.0").code == 0
    forced = queue.run("condor_rm", "-forcex", "7.0")
    assert forced == Answer("Job 7.0 removed locally (remote state unknown)\n", "", 0)
    assert not queue.bench.job(JobId(7, 0)).in_queue
    # the second's, as HTCondor says
    assert queue.reason("7.0", "RemoveReason") == "via condor_rm -forcex (by user alice)"


# --- clusters, users, constraints ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("condor_rm 5", "All jobs in cluster 5 have been marked for removal"),
        ("condor_hold 5", "All jobs in cluster 5 have been held"),
        (
            "condor_rm 4 99",
            "All jobs matching constraint (ClusterId == 4 || ClusterId == 99) "
            "have been marked for removal",
        ),
        ("condor_rm alice", 'All jobs of user "alice" have been marked for removal'),
        ("condor_hold -all", "All jobs have been held"),
        (
            "condor_rm -constraint ProcId==1",
            "All jobs matching constraint (ProcId==1) have been marked for removal",
        ),
        (
            "condor_rm -cons ProcId==1 5",
            "All jobs matching constraint ((ProcId==1) && (ClusterId == 5)) "
            "have been marked for removal",
        ),
    ],
)
def test_a_group_of_jobs_is_answered_in_one_line(queue: Queue, command: str, text: str) -> None:
    assert queue.run(*command.split()) == Answer(f"{text}\n", "", 0)


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("condor_rm 99", "Couldn't find/remove all jobs in cluster 99"),
        ("condor_hold 9", "Couldn't find/hold all jobs in cluster 9"),
        (
            "condor_rm 98 99",
            "Couldn't find/remove all jobs matching constraint "
            "(ClusterId == 98 || ClusterId == 99)",
        ),
        ("condor_release alice", 'Couldn\'t find/release all jobs of user "alice"'),
        ("condor_rm 1x", 'Couldn\'t find/remove all jobs of user "1x"'),
        ("condor_release -all", "Couldn't find/release all jobs"),
        ("condor_rm -constraint Foo", "Couldn't find/remove all jobs matching constraint (Foo)"),
        ("condor_rm -forcex 5", "Couldn't find/remove all jobs in cluster 5"),
    ],
)
def test_a_group_with_nothing_to_do_is_an_error(queue: Queue, command: str, text: str) -> None:
    states = queue.states()
    assert queue.run(*command.split()) == Answer("", f"\n{text}\n", 1)
    assert queue.states() == states


NO_JOBS = "There are no jobs in the queue"


@pytest.mark.parametrize(
    "command",
    [
        # as the tools of HTCondor 25.14.1, in a queue without any job
        "condor_rm 9", "condor_rm 98 99", "condor_hold bob", "condor_release -constraint ProcId==1",
        "condor_vacate_job 9", "condor_rm -all", "condor_hold carol", "condor_rm -constraint true",
    ],
)  # fmt: skip
def test_in_an_empty_queue_there_is_nothing_to_fail(queue: Queue, command: str) -> None:
    # where others have jobs, the caller's lack of any is an error
    assert queue.run(*command.split(), uid=1003, user="carol").code == 1
    queue.run("condor_rm", "-all", uid=0)
    said = queue.run(*command.split(), uid=1003, user="carol")
    assert said == Answer("", f"{command.split()[0]}:0:{NO_JOBS}\n", 0)


def test_a_job_id_is_an_error_in_an_empty_queue_as_well(queue: Queue) -> None:
    # parsl and dask remove by job id, and take exit code 1 for "it has ended"
    answer = queue.run("condor_rm", "99.0", uid=1003, user="carol")
    assert answer == Answer("", "\nJob 99.0 not found\n", 1)


def test_all_means_all_jobs_of_the_caller(queue: Queue) -> None:
    assert queue.run("condor_rm", "-all").code == 0
    states = queue.states()
    assert states.pop("9.0") == 1 and set(states.values()) == {3}


def test_root_may_act_on_every_job(queue: Queue) -> None:
    assert queue.run("condor_rm", "-all", uid=0, user="root").code == 0
    assert set(queue.states().values()) == {3}
    assert queue.reason("9.0", "RemoveReason") == "via condor_rm (by user root)"


def test_a_constraint_narrows_a_user_or_a_cluster(queue: Queue) -> None:
    # as an alternative it would remove jobs that nobody meant
    assert queue.run("condor_rm", "-constraint", "ProcId == 1", "5").code == 0
    assert [job for job, state in queue.states().items() if state == 3] == ["5.1"]
    said = queue.run("condor_rm", "-constraint", "ProcId == 1", "bob", uid=0)
    assert said.code == 1
    assert said.stderr == (
        '\nCouldn\'t find/remove all jobs matching constraint ((ProcId == 1) && (Owner == "bob"))\n'
    )


@pytest.mark.parametrize(
    ("constraint", "ids"),
    [
        ("ClusterId == 5 && ProcId == 0", ["5.0"]),
        ("MY.ClusterId > 5 && CurrentTime > QDate", ["6.0", "6.1"]),
        ("1", ["4.0", "5.0", "5.1", "6.0", "6.1"]),
        ('Owner == "ALICE" && regexp("^4", string(ClusterId))', ["4.0"]),
        ("ifThenElse(ProcId == 1, random(0), true)", ["4.0", "5.0", "6.0"]),
    ],
)
def test_constraints_are_evaluated_as_the_clients_write_them(
    queue: Queue, constraint: str, ids: list[str]
) -> None:
    assert queue.run("condor_hold", "-constraint", constraint).code == 0
    assert [job for job, state in queue.states().items() if state == 5] == ids


def test_a_constraint_that_cannot_be_parsed_is_refused(queue: Queue) -> None:
    said = queue.run("condor_rm", "-constraint", "Foo (")
    assert said == Answer(
        "",
        "DCSchedd::actOnJobs:1:Can't insert constraint into ClassAd\n"
        "Couldn't find/remove all jobs matching constraint (Foo ()\n",
        1,
    )


def test_ids_are_answered_before_the_cluster_of_a_mixed_command(queue: Queue) -> None:
    said = queue.run("condor_rm", "6", "6.1", "5.0")
    assert said.stdout == (
        "Job 6.1 marked for removal\nJob 5.0 marked for removal\n"
        "All jobs in cluster 6 have been marked for removal\n"
    )
    assert said.code == 0


def test_a_group_that_fails_makes_the_command_fail(queue: Queue) -> None:
    said = queue.run("condor_rm", "5.0", "99")
    assert said.stdout == "Job 5.0 marked for removal\n"
    assert said.stderr == "\nCouldn't find/remove all jobs in cluster 99\n"
    assert said.code == 1


def test_users_and_clusters_are_one_group(queue: Queue) -> None:
    said = queue.run("condor_hold", "bob", "5", "nobody")
    assert said == Answer(
        "All jobs matching constraint "
        '(Owner == "bob" || ClusterId == 5 || Owner == "nobody") have been held\n'
    )


def test_a_constraint_is_not_evaluated_for_jobs_that_the_user_may_not_change(
    queue: Queue,
) -> None:
    queue.add(*(f"20.{proc}" for proc in range(200)), uid=BOB, owner="bob")
    began = time.thread_time()
    said = queue.run("condor_rm", "-constraint", make_slow("ProcId"), uid=1003, user="mallory")
    assert said.code == 1
    assert time.thread_time() - began < 5, "200 jobs would take 20 s"


def test_a_constraint_with_half_a_character_selects_no_job(queue: Queue) -> None:
    said = queue.run("condor_rm", "-constraint", 'substr("é", 0, 1)')
    assert said.stderr.startswith("\nCouldn't find/remove all jobs matching constraint (substr(")
    assert set(queue.states().values()) == {1}


def test_slow_constraints_are_refused_before_anything_is_changed(queue: Queue) -> None:
    queue.add(*(f"20.{proc}" for proc in range(200)))
    said = queue.run("condor_rm", "-constraint", make_slow("ProcId"))
    assert said.code == 1
    assert "the expressions took more than 1 s of CPU within 60 s; simplify them" in said.stderr
    assert set(queue.states().values()) == {1}
