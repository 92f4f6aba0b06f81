"""The job's own policy expressions, as the real ClassAd library sees them."""

import pytest

from tests.support.schedd_parts import NOW, Expression, ad_of
from vobox.jobs.policy import PolicyAction, check_on_exit, check_periodic, stays_in_queue
from vobox.jobs.status import COMPLETED, HELD, IDLE, REMOVED, RUNNING, TRANSFERRING_OUTPUT

#: What AliEn writes (multi-line in the description, joined by condor_submit).
ALIEN_HOLD = (
    "JobStatus == 1 && GridJobStatus =?= undefined && CurrentTime - EnteredCurrentStatus > 1800 "
    "|| (JobStatus == 2 && RemoteWallClockTime > 259200)"
)
ALIEN_REMOVE = "CurrentTime - QDate > 172800 || (JobStatus == 5 && NumSystemHolds >= 2)"
DAY = 86400


def test_periodic_hold_fires_with_htcondors_reason_and_code() -> None:
    ad = ad_of(PeriodicHold=Expression("NumJobStarts > 2"), NumJobStarts=3)
    hold = check_periodic(ad, IDLE, NOW).hold
    assert hold is not None
    assert (hold.code, hold.subcode) == (3, 0)
    assert hold.text == (
        "The job attribute PeriodicHold expression 'NumJobStarts > 2' evaluated to TRUE"
    )


def test_the_jobs_own_reason_and_subcode_are_used() -> None:
    ad = ad_of(
        PeriodicHold=Expression("true"),
        PeriodicHoldReason=Expression('strcat("too long: ", Owner)'),
        PeriodicHoldSubCode=Expression("40 + 2"),
    )
    hold = check_periodic(ad, RUNNING, NOW).hold
    assert hold is not None
    assert (hold.text, hold.subcode) == ("too long: games", 42)


def test_a_reason_that_is_no_text_and_a_subcode_that_is_no_number_are_left_out() -> None:
    ad = ad_of(
        PeriodicHold=Expression("true"),
        PeriodicHoldReason=Expression("Undefined_"),
        PeriodicHoldSubCode=Expression('"x" + 1'),
    )
    hold = check_periodic(ad, RUNNING, NOW).hold
    assert hold is not None
    assert hold.subcode == 0 and hold.text.startswith("The job attribute PeriodicHold")


@pytest.mark.parametrize(
    "expression",
    [
        "NoSuchAttribute",
        "NoSuchAttribute > 1",
        '"x" + 1',
        "1/0",
        "random(0)",
        '"true"',
        "false",
        "0",
    ],
)
def test_undefined_error_and_false_never_fire(expression: str) -> None:
    e = Expression(expression)
    ad = ad_of(PeriodicHold=e, PeriodicRemove=e, PeriodicRelease=e, OnExitHold=e)
    assert check_periodic(ad, IDLE, NOW) == check_periodic(ad, HELD, NOW) == PolicyAction()
    assert check_on_exit(ad, NOW).hold is None


@pytest.mark.parametrize("expression", ["true", "1", "0.5", "-3", "JobStatus == 1", "MY.JobStatus"])
def test_numbers_count_as_booleans(expression: str) -> None:
    assert check_periodic(ad_of(PeriodicRemove=Expression(expression)), IDLE, NOW).remove


def test_hold_comes_before_remove_and_release_is_for_held_jobs_alone() -> None:
    true = Expression("true")
    ad = ad_of(PeriodicHold=true, PeriodicRemove=true, PeriodicRelease=true)
    idle, held = check_periodic(ad, IDLE, NOW), check_periodic(ad, HELD, NOW)
    assert idle.hold and not idle.remove and not idle.release
    assert held.release and not held.hold and not held.remove
    assert check_periodic(ad_of(PeriodicRemove=true), HELD, NOW).remove == (
        "The job attribute PeriodicRemove expression 'true' evaluated to TRUE"
    )


def test_a_removed_job_has_no_policy_and_a_completed_one_can_be_removed() -> None:
    true = Expression("true")
    ad = ad_of(PeriodicHold=true, PeriodicRemove=true, PeriodicRelease=true)
    assert check_periodic(ad, REMOVED, NOW) == PolicyAction()
    completed = check_periodic(ad, COMPLETED, NOW)
    assert completed.remove and not completed.hold and not completed.release


@pytest.mark.parametrize(("code", "released"), [(1, False), (3, True), (13, True), (16, False)])
def test_what_a_user_held_is_not_released_by_its_policy(code: int, released: bool) -> None:
    ad = ad_of(PeriodicRelease=Expression("true"), JobStatus=5, HoldReasonCode=code)
    assert bool(check_periodic(ad, HELD, NOW).release) is released


def test_a_job_that_waits_for_its_input_is_not_removed_by_its_policy() -> None:
    ad = ad_of(PeriodicRemove=Expression("true"), JobStatus=5, HoldReasonCode=16)
    assert check_periodic(ad, HELD, NOW) == PolicyAction()


def test_aliens_hold_fires_after_half_an_hour_without_a_grid_status() -> None:
    ad = ad_of(PeriodicHold=Expression(ALIEN_HOLD))
    assert check_periodic(ad, IDLE, NOW + 1800).hold is None
    assert check_periodic(ad, IDLE, NOW + 1801).hold is not None

    with_status = ad_of(PeriodicHold=Expression(ALIEN_HOLD), GridJobStatus="IDLE")
    assert check_periodic(with_status, IDLE, NOW + 1801).hold is None


def test_aliens_remove_fires_after_two_days_or_two_holds() -> None:
    ad = ad_of(PeriodicRemove=Expression(ALIEN_REMOVE))
    assert not check_periodic(ad, IDLE, NOW + 2 * DAY).remove
    assert check_periodic(ad, IDLE, NOW + 2 * DAY + 1).remove
    held_twice = ad_of(PeriodicRemove=Expression(ALIEN_REMOVE), NumSystemHolds=2, JobStatus=5)
    assert check_periodic(held_twice, HELD, NOW).remove


def test_policies_use_my_and_currenttime_together() -> None:
    ad = ad_of(PeriodicRemove=Expression("CurrentTime - MY.QDate >= 10"))
    assert not check_periodic(ad, IDLE, NOW + 9).remove
    assert check_periodic(ad, IDLE, NOW + 10).remove


@pytest.mark.parametrize(
    ("expression", "leaves"),
    [
        ("ExitCode == 0", False),
        ("ExitCode == 3", True),
        ("false", False),
        ("0", False),
        ("NoSuchAttribute", True),
        ("1/0", True),
    ],
)
def test_only_a_false_on_exit_remove_runs_the_job_again(expression: str, leaves: bool) -> None:
    ad = ad_of(OnExitRemove=Expression(expression), ExitCode=3)
    assert check_on_exit(ad, NOW).leaves is leaves


def test_on_exit_hold_gives_its_reason_and_wins_over_on_exit_remove() -> None:
    ad = ad_of(
        OnExitHold=Expression("ExitCode =!= 0"),
        OnExitHoldSubCode=55,
        OnExitRemove=Expression("false"),
        ExitCode=1,
    )
    action = check_on_exit(ad, NOW)
    assert action.hold is not None and not action.leaves
    assert (action.hold.code, action.hold.subcode) == (3, 55)
    assert action.hold.text == (
        "The job attribute OnExitHold expression 'ExitCode =!= 0' evaluated to TRUE"
    )


def test_leave_in_queue_is_evaluated_each_time() -> None:
    # BLAH: half an hour
    expression = Expression("JobStatus == 4 && CurrentTime - CompletionDate < 1800")
    ad = ad_of(LeaveJobInQueue=expression, CompletionDate=int(NOW), JobStatus=4)
    assert stays_in_queue(ad, NOW + 1799)
    assert not stays_in_queue(ad, NOW + 1800)
    assert not stays_in_queue(ad_of(), NOW)
    assert stays_in_queue(ad_of(LeaveJobInQueue=Expression("TRUE")), NOW)


@pytest.mark.parametrize("broken", ["1 +", '"caf\udce9"'])
def test_an_attribute_that_cannot_be_parsed_spoils_only_what_refers_to_it(broken: str) -> None:
    text = Expression(broken)
    assert check_periodic(ad_of(PeriodicHold=Expression("true"), Broken=text), IDLE, NOW).hold
    assert (
        check_periodic(ad_of(PeriodicHold=Expression("Broken"), Broken=text), IDLE, NOW)
        == PolicyAction()
    )
    assert check_periodic(ad_of(PeriodicHold=text), IDLE, NOW) == PolicyAction()
    assert not stays_in_queue(ad_of(LeaveJobInQueue=text), NOW)


def test_a_job_whose_output_is_on_its_way_can_still_be_removed_by_policy() -> None:
    assert check_periodic(ad_of(PeriodicRemove=Expression("true")), TRANSFERRING_OUTPUT, NOW).remove
