"""Bound what one submit may take of the schedd's time and memory, wherever it takes it.

A description of a few lines may name a value that doubles with each line, or a hundred thousand
macros in each of its values: what is counted is what comes out, not what was written.
"""

from __future__ import annotations

import time

from vobox.rpc.types import Caller

from .errors import submit_error

#: CPU seconds of one submit: ten times what 20,000 ordinary jobs take.
MAX_CPU_SECONDS = 120
#: Characters of the values that are in memory together: those that a description assigns, and
#: those of one job. Its message may have 16 MiB.
MAX_VALUE_CHARACTERS = 32 * 1024 * 1024


class Budget:
    """What one submit has taken. For the thread that carries it out."""

    def __init__(self, caller: Caller) -> None:
        """``caller``: is told now and then that the submit is at work; nobody may be there."""
        self._caller = caller
        self._began = time.thread_time()
        self._characters = 0

    def spend(self, characters: int = 0) -> None:
        """Count so many characters more that are kept (below 0: they are not any more).

        Called often, as what comes between two calls is not bounded. Raises SubmitError for too
        much, CommandRefused where nobody waits for the answer.
        """
        self._caller.keep_waiting()
        if time.thread_time() - self._began > MAX_CPU_SECONDS:
            raise submit_error(
                f"this submit took more than {MAX_CPU_SECONDS} s of CPU; submit fewer jobs at "
                "once, or shorter macros"
            )
        self._characters += characters
        if self._characters > MAX_VALUE_CHARACTERS:
            raise submit_error(
                f"the values of this description have more than {MAX_VALUE_CHARACTERS} characters"
            )

    def begin_job(self) -> None:
        """Count anew: the values of the job before are kept no longer, or counted elsewhere."""
        self._characters = 0


def spend_nothing(_characters: int = 0) -> None:
    """Count nothing."""
