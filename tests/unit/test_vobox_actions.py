"""condor_rm, condor_hold, condor_release: what is said, on which stream, with which code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_fakes import BOB, Queue
from tests.vobox_fakes import SCHEDD, Bench, Events
from thyme import codec
from thyme.job import JobId
from thyme.message import Control, expect
from vobox import act_command
from vobox.rpc_types import Answer


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    bench = Bench(tmp_path)
    made = Queue(bench)
    made.add("4.0", "5.0", "5.1", "6.0", "6.1")
    made.add("9.0", uid=BOB, owner="bob")
    yield made
    bench.close()


def usage(command: str) -> str:
    return act_command.usage(command)


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
    said = queue.run("condor_rm", "5.0", "5.0")
    assert said.stdout == "Job 5.0 marked for removal\n"
    assert said.stderr == "Job 5.0 already marked for removal\n"


def test_parsls_two_commands_both_succeed_on_a_job_that_stays_in_the_queue(queue: Queue) -> None:
    queue.add("7.0", keep=True)
    assert queue.run("condor_rm", "7.0").code == 0
    forced = queue.run("condor_rm", "-forcex", "7.0")
    assert forced == Answer("Job 7.0 removed locally (remote state unknown)\n", "", 0)
    assert not queue.bench.job(JobId(7, 0)).in_queue
    assert queue.reason("7.0", "RemoveReason") == "via condor_rm (by user alice)"


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
def test_what_is_said_of_many_jobs(queue: Queue, command: str, text: str) -> None:
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
def test_what_is_said_when_nothing_was_there_to_do(queue: Queue, command: str, text: str) -> None:
    states = queue.states()
    assert queue.run(*command.split()) == Answer("", f"\n{text}\n", 1)
    assert queue.states() == states


def test_all_means_all_of_ones_own(queue: Queue) -> None:
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


def test_a_constraint_that_is_none_is_refused(queue: Queue) -> None:
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


def test_each_user_is_a_group(queue: Queue) -> None:
    said = queue.run("condor_hold", "alice", "bob")
    assert said.stdout == 'All jobs of user "alice" have been held\n'
    assert said.stderr == '\nCouldn\'t find/hold all jobs of user "bob"\n'
    assert said.code == 1


# --- command lines ------------------------------------------------------------------------------


def test_an_empty_word_is_no_word(queue: Queue) -> None:
    # DIRAC with a local schedd; HTCondor complains, which fails DIRAC
    assert queue.run("condor_rm", "", "5.0") == Answer("Job 5.0 marked for removal\n", "", 0)
    expected = "You did not specify any jobs\n" + usage("condor_rm")
    assert queue.run("condor_rm", "") == Answer("", expected, 1)


def test_a_constraint_beside_job_ids_is_said_to_be_ignored(queue: Queue) -> None:
    said = queue.run("condor_hold", "5.0", "-constraint", "ProcId == 1")
    assert said.stderr == "Warning, -constraint is ignored for fully qualified job ids\n"
    assert said.stdout.splitlines() == [
        "Job 5.0 held", "All jobs matching constraint (ProcId == 1) have been held",
    ]  # fmt: skip


def test_a_cluster_0_is_complained_of_and_the_others_are_carried_out(queue: Queue) -> None:
    said = queue.run("condor_rm", "0", "5.0")
    assert said.stdout == "Job 5.0 marked for removal\n"
    assert said.stderr.startswith("Invalid cluster # from 0.\n")
    assert said.code == 1
    assert queue.states()["5.0"] == 3


@pytest.mark.parametrize("word", ["0", "0.0"])
def test_a_word_that_names_nothing_alone_is_an_error(queue: Queue, word: str) -> None:
    said = queue.run("condor_rm", word)
    expected = f"Invalid cluster # from {word}.\nYou did not specify any jobs\n"
    assert said == Answer("", expected + usage("condor_rm"), 1)


@pytest.mark.parametrize("command", ["condor_rm", "condor_hold", "condor_release"])
def test_nothing_given_is_an_error(queue: Queue, command: str) -> None:
    expected = "You did not specify any jobs\n" + usage(command)
    assert queue.run(command) == Answer("", expected, 1)
    assert queue.run(command, "-debug") == Answer("", expected, 1)


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("condor_rm -zzz", "Unrecognized option: -zzz\n"),
        ("condor_hold -forcex 5", "Unrecognized option: -forcex\n"),
        ("condor_rm -subcode 5", "Unrecognized option: -subcode\n"),
        ("condor_release --con 1", "Unrecognized option: --con\n"),
    ],
)
def test_an_unknown_option_is_named_and_nothing_is_done(
    queue: Queue, command: str, text: str
) -> None:
    states = queue.states()
    said = queue.run(*command.split(), "5")
    assert said == Answer("", text + usage(command.split()[0]), 1)
    assert queue.states() == states


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("condor_rm 5 -reason", "condor_rm: -reason requires another argument\n"),
        ("condor_hold 5 -subcode x", "Invalid -subcode x!\n"),
        ("condor_hold 5 -subcode 99999999999", "Invalid -subcode 99999999999!\n"),
        ("condor_rm -all 5", "condor_rm: can't mix -all with other constraints\n"),
        ("condor_rm -all -constraint 1", "condor_rm: can't mix -all with other constraints\n"),
        ("condor_rm -name other 5", "Error: cannot get address of schedd other\n"),
        ("condor_rm -long 5", "condor_rm: -long: the answer as a ClassAd is not known here\n"),
    ],
)
def test_a_wrong_option_is_explained_and_nothing_is_done(
    queue: Queue, command: str, text: str
) -> None:
    states = queue.states()
    assert queue.run(*command.split()) == Answer("", text, 1)
    assert queue.states() == states


@pytest.mark.parametrize("name", [SCHEDD, "vobox1", "VOBOX1.example.org", "localhost"])
def test_our_own_name_in_any_form_is_accepted(queue: Queue, name: str) -> None:
    assert queue.run("condor_rm", "-pool", "x:9619", "-name", name, "5").code == 0


def test_version_and_help_need_no_jobs(queue: Queue) -> None:
    assert queue.run("condor_rm", "-version").stdout.startswith("$CondorVersion: ")
    assert queue.run("condor_hold", "-help") == Answer("", usage("condor_hold"), 0)


def test_totals_are_one_line_a_group(queue: Queue) -> None:
    said = queue.run("condor_rm", "-totals", "-constraint", "true")
    assert said.stdout.splitlines()[0] == (
        "5 Succeeded, 0 Failed, 0 Not Found, 0 Bad Status, 0 Already Done, 1 Permission Denied"
    )


# --- reasons ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "attribute", "reason"),
    [
        ("condor_rm 5.0", "RemoveReason", "via condor_rm (by user alice)"),
        ("condor_rm 5.0 -reason no_use", "RemoveReason", "no_use (by user alice)"),
        ("condor_hold 5.0", "HoldReason", "via condor_hold (by user alice)"),
        ("condor_hold 5.0 -r wait", "HoldReason", "wait (by user alice)"),
    ],
)
def test_reasons_say_who_did_it(queue: Queue, command: str, attribute: str, reason: str) -> None:
    queue.run(*command.split())
    assert queue.reason("5.0", attribute) == reason


def test_hold_and_release_leave_code_subcode_and_reasons(queue: Queue) -> None:
    queue.run("condor_hold", "5.0", "-subcode", "77")
    ad = queue.bench.job(JobId(5, 0)).ad
    assert (ad["HoldReasonCode"], ad["HoldReasonSubCode"]) == ("1", "77")
    queue.run("condor_release", "5.0", "-reason", "go on")
    ad = queue.bench.job(JobId(5, 0)).ad
    assert ad.text("ReleaseReason") == "go on (by user alice)"
    assert ad["LastHoldReasonSubCode"] == "77"


def test_a_reason_that_is_no_utf8_is_spelled_out(queue: Queue) -> None:
    queue.run("condor_hold", "5.0", "-reason", "caf\udce9")
    assert queue.reason("5.0", "HoldReason") == "caf\\udce9 (by user alice)"


def test_a_schedd_without_broker_does_nothing_and_says_so(queue: Queue) -> None:
    queue.down = "the schedd is not ready: no broker; try again"
    said = queue.run("condor_rm", "5.0", "6")
    assert said == Answer(
        "",
        f"DCSchedd::actOnJobs:6001:{queue.down}\nNo result found for job 5.0\n"
        f"DCSchedd::actOnJobs:6001:{queue.down}\nCouldn't find/remove all jobs in cluster 6\n",
        1,
    )


# --- running jobs -------------------------------------------------------------------------------


class W1:
    """The worker of job 5.0, as far as its mail."""

    def __init__(self, queue: Queue) -> None:
        self._line = queue.bench.broker.connect()
        self._line.open_inbox("w1")
        queue.start("5.0")

    def told(self) -> list[str]:
        """The actions that it was told since the last look, in order."""
        actions = []
        while (mail := self._line.receive()) is not None:
            actions.append(expect(codec.decode(mail.body), Control).action)
        return actions


@pytest.fixture
def w1(queue: Queue) -> W1:
    return W1(queue)


def test_a_suspended_job_stands_still_until_it_is_continued(queue: Queue, w1: W1) -> None:
    assert queue.run("condor_suspend", "5.0") == Answer("Job 5.0 suspended\n", "", 0)
    job = queue.bench.job(JobId(5, 0))
    assert (job.status, job.ad["TotalSuspensions"], job.worker) == (7, "1", "w1")
    assert queue.run("condor_continue", "5") == Answer(
        "All jobs in cluster 5 have been continued\n", "", 0
    )
    assert queue.states()["5.0"] == 2
    assert w1.told() == ["suspend", "continue"]


def test_a_vacated_job_runs_until_its_worker_says_that_it_is_evicted(queue: Queue, w1: W1) -> None:
    assert queue.run("condor_vacate_job", "5.0") == Answer("Job 5.0 vacated\n", "", 0)
    assert queue.run("condor_vacate_job", "-fast", "5.0").stdout == "Job 5.0 fast-vacated\n"
    assert queue.states()["5.0"] == 2
    assert w1.told() == ["vacate", "vacate_fast"]
    queue.bench.record(Events(JobId(5, 0)).evicted(reason="vacated"))
    assert queue.states()["5.0"] == 1 and queue.bench.job(JobId(5, 0)).attempt == 1
