"""condor_rm, condor_hold, condor_release: what is said, on which stream, with which code.

What HTCondor's own answers show (tests/differential/recorded/actions.yaml) is not repeated here.
"""

import time

import pytest

from tests.support.fake_command_queue import BOB, Queue
from tests.support.schedd_parts import Events
from tests.support.slow_expressions import make_slow
from thyme.protocol.job import JobId
from vobox.rpc.types import Answer

# --- job ids ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "command", "text"),
    [
        (["condor_rm 5.0"], "condor_rm 5.0", "Job 5.0 already marked for removal"),
        (["condor_rm 5.0"], "condor_hold 5.0", "Permission denied to hold job 5.0"),
        (["condor_rm 5.0"], "condor_release 5.0", "Job 5.0 not held to be released"),
        ([], "condor_rm -forcex 9.0", "Permission denied to force removal of job 9.0"),
        ([], "condor_continue 5.0", "Job 5.0 already running"),
        (["condor_suspend 5.0"], "condor_suspend 5.0", "Job 5.0 already suspended"),
        ([], "condor_suspend 9.0", "Permission denied to suspend job 9.0"),
        ([], "condor_vacate_job 9.0", "Permission denied to vacate job 9.0"),
        ([], "condor_vacate_job -fast 9.0", "Permission denied to fast-vacate job 9.0"),
        ([], "condor_rm 9.0", "Permission denied to remove job 9.0"),
        ([], "condor_hold 9.0", "Permission denied to hold job 9.0"),
        ([], "condor_release 9.0", "Permission denied to release job 9.0"),
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


# --- clusters, users, constraints ---------------------------------------------------------------


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


def test_all_means_all_jobs_of_the_caller(queue: Queue) -> None:
    assert queue.run("condor_rm", "-all").code == 0
    states = queue.states()
    assert states.pop("9.0") == 1 and set(states.values()) == {3}


def test_root_may_act_on_every_job(queue: Queue) -> None:
    assert queue.run("condor_rm", "-all", uid=0, user="root").code == 0
    assert set(queue.states().values()) == {3}
    assert queue.reason("9.0", "RemoveReason") == "via condor_rm (by user root)"


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


def test_ids_are_answered_before_the_cluster_of_a_mixed_command(queue: Queue) -> None:
    said = queue.run("condor_rm", "6", "6.1", "5.0")
    assert said.stdout == (
        "Job 6.1 marked for removal\nJob 5.0 marked for removal\n"
        "All jobs in cluster 6 have been marked for removal\n"
    )
    assert said.code == 0


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
