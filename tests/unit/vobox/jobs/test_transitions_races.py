"""Transitions of a job: ends, holds, releases and losses that cross each other."""

from tests.support.schedd_parts import Events, Expression, job_after, transition_after


def test_a_job_released_while_it_is_ending_is_queued_only_when_its_worker_has_gone() -> None:
    e = Events()
    history = [e.submit(), e.started(), e.held(), e.released()]
    assert job_after(*history).worker == "w1"  # the ledger does not queue what somebody still ends

    job = job_after(*history, e.evicted())

    assert (job.status, job.worker, job.queued) == (1, "", False)


def test_a_job_that_ends_by_itself_while_it_is_being_held_has_ended() -> None:
    e = Events()
    job = job_after(e.submit(), e.started(), e.held(), e.finished(code=4))
    assert (job.status, job.has_result, job.ad["ExitCode"]) == (6, True, "4")
    assert "HoldReasonCode" not in job.ad


def test_a_lost_worker_may_still_hand_in_its_result_while_the_next_attempt_waits() -> None:
    e = Events()
    job = job_after(e.submit(), e.started(), e.lost(), e.submit(1), e.finished("w1", 0))
    assert (job.status, job.has_result) == (6, True)


def test_a_lost_worker_that_ends_while_another_is_asked_to_end_is_not_heard() -> None:
    # w2 still has the job: a job queued now would have two workers
    e = Events()
    running = [e.submit(), e.started(), e.lost(), e.submit(1), e.started("w2", 1)]
    job = job_after(*running, e.held(), e.released(), e.finished("w1", 0))
    assert (job.status, job.worker) == (1, "w2")


def test_an_undelivered_result_is_delivered_after_the_release_without_another_run() -> None:
    e = Events()
    held = [e.submit(), e.started(), e.finished(code=3), e.held(12, 2, "no such directory")]
    assert job_after(*held).ad["HoldReasonCode"] == "12"

    released = job_after(*held, e.released())
    assert (released.status, released.has_result, released.queued) == (6, True, True)

    done = job_after(*held, e.released(), e.delivered())
    assert (done.status, done.in_queue, done.ad["ExitCode"]) == (4, False, "3")
    assert done.ad["NumJobStarts"] == "1"


def test_leave_in_queue_keeps_a_completed_job_and_a_removed_one_until_forced() -> None:
    keep = {"LeaveJobInQueue": Expression("JobStatus >= 3")}
    e = Events(attributes=keep)
    completed = job_after(e.submit(), e.started(), e.finished(), e.delivered())
    assert (completed.status, completed.in_queue) == (4, True)

    e = Events(attributes=keep)
    removal = [e.submit(), e.removed()]
    assert job_after(*removal).in_queue
    assert job_after(*removal, e.removed()).in_queue
    assert not job_after(*removal, e.removed(force=True)).in_queue


def test_the_release_starts_the_count_of_lost_workers_again() -> None:
    e = Events()
    lost = [e.submit(), e.started(), e.lost(), e.held(26)]
    assert job_after(*lost).losses == 1
    assert job_after(*lost, e.released()).losses == 0


def test_an_event_of_a_job_that_the_stream_has_forgotten_makes_no_job() -> None:
    e = Events()
    assert [transition_after(event).job for event in (e.started(), e.finished(), e.submit(2))] == [
        None
    ] * 3
