"""Timers: a task is due when its time has come, and at once before it was ever scheduled."""

from tests.support.schedd_parts import Clock
from vobox.schedd.timers import Task, Timers


def test_a_task_that_was_never_scheduled_is_due_at_once() -> None:
    timers = Timers(Clock())
    assert timers.is_due(Task.PROBE)
    assert timers.remaining(Task.PROBE) == 0.0


def test_a_scheduled_task_is_due_when_its_seconds_have_passed() -> None:
    clock = Clock(100.0)
    timers = Timers(clock)
    timers.schedule(Task.PROBE, 5.0)
    clock.now = 104.0
    assert (timers.is_due(Task.PROBE), timers.remaining(Task.PROBE)) == (False, 1.0)
    clock.now = 105.0
    assert (timers.is_due(Task.PROBE), timers.remaining(Task.PROBE)) == (True, 0.0)
    clock.now = 200.0
    assert timers.remaining(Task.PROBE) == 0.0


def test_tasks_have_times_of_their_own() -> None:
    timers = Timers(Clock())
    timers.schedule(Task.PROBE, 5.0)
    assert timers.is_due(Task.CHECK_LEASES)
    assert not timers.is_due(Task.PROBE)
