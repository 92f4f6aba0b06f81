"""When each periodic task of the schedd is due."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum, auto


class Task(Enum):
    """What the schedd does again and again."""

    ROUND = auto()  #: a round of the main loop
    RECONCILE = auto()  #: read the stream and do what follows
    DELIVER = auto()  #: write the results of ended jobs
    CHECK_LEASES = auto()
    CHECK_QUEUES = auto()  #: look whether messages of the job queues were lost
    SCAN_POLICIES = auto()
    TRIM_HISTORY = auto()  #: delete what condor_history no longer shows
    RECORD_JOBS = auto()  #: record jobs again that the stream may soon forget
    LOOK_AT_STREAM = auto()  #: look at the oldest record that the stream has
    PROBE = auto()  #: ask the broker whether it is there


class Timers:
    """The times at which tasks are due; a task that was never scheduled is due at once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """``clock``: monotonic seconds."""
        self._clock = clock
        self._due: dict[Task, float] = {}

    def schedule(self, task: Task, seconds: float) -> None:
        """Let the task be due in so many seconds."""
        self._due[task] = self._clock() + seconds

    def remaining(self, task: Task) -> float:
        """Return the seconds until the task is due, 0.0 if it is."""
        return max(0.0, self._due.get(task, -math.inf) - self._clock())

    def is_due(self, task: Task) -> bool:
        """Return whether it is time for the task."""
        return self._due.get(task, -math.inf) <= self._clock()
