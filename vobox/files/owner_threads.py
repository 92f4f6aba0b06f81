"""Write each owner's files in a thread of his own, so that a hung file system stops only him.

A file server that is gone blocks every process that opens a file there, and no signal ends
that. The schedd's own thread waits for what it has asked for here, but not for long: the owner
whose files take longer is late, and is not waited for again until ``LATE_SECONDS`` after that.
What he asked for goes on by itself.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from thyme.protocol.events import HoldReason
from thyme.protocol.hold_codes import HoldReasonCode

from .user_log_index import UserLogIndex

log = logging.getLogger(__name__)

#: Seconds that the schedd's thread waits for the files of all owners together, and with it every
#: worker and command.
PATIENCE_SECONDS: Final = 1.0
#: Seconds for which an owner is not waited for after his files took longer than that.
LATE_SECONDS: Final = 60.0
#: Seconds after which a thread without work ends.
IDLE_SECONDS: Final = 30.0

Write = Callable[[UserLogIndex], "HoldReason | None"]
OnDone = Callable[["HoldReason | None"], None]


@dataclass(frozen=True)
class FileTask:
    """Something to be written.

    ``uid``: the owner's; ``path``: what condor_q names while it is waited for; ``write``: writes
    it, in the owner's thread, and returns the reason to hold the job if that fails; ``on_done``:
    is given that reason in the thread that calls ``OwnerThreads.run``.
    """

    uid: int
    path: str
    write: Write
    on_done: OnDone


class _Owner:
    """An owner's thread and its work. ``pending`` is guarded by the lock of ``OwnerThreads``."""

    def __init__(self) -> None:
        self.work: queue.SimpleQueue[FileTask] = queue.SimpleQueue()
        self.pending = 0
        #: what is being written, and since when (by the clock); None: nothing
        self.current: tuple[str, float] | None = None
        #: until when it is not waited for
        self.late_until = float("-inf")


class OwnerThreads:
    """The threads. ``describe_wait`` may be called from any thread, the rest from one."""

    def __init__(
        self,
        patience: float = PATIENCE_SECONDS,
        late_seconds: float = LATE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._patience = patience
        self._late_seconds = late_seconds
        self._clock = clock
        self._owners: dict[int, _Owner] = {}
        self._changed = threading.Condition()
        self._done: deque[tuple[FileTask, HoldReason | None]] = deque()

    def start(self, tasks: list[FileTask]) -> None:
        """Hand over what is to be written: each owner's in this order."""
        for task in tasks:
            with self._changed:
                owner = self._owners.get(task.uid)
                if owner is None:
                    owner = _Owner()
                    threading.Thread(
                        target=self._serve, args=(task.uid, owner), daemon=True,
                        name=f"files of uid {task.uid}",
                    ).start()  # fmt: skip
                    self._owners[task.uid] = owner
                owner.pending += 1
                owner.work.put(task)

    def run(self, tasks: list[FileTask]) -> None:
        """Write all this, and call ``on_done`` of what is done by now, also of former calls.

        Returns when nothing is left to do of owners that are not late. One for whom that would
        take longer than the patience is late.
        """
        self.start(tasks)
        if tasks:
            self._wait()
        while self._done:
            task, failure = self._done.popleft()
            task.on_done(failure)

    def _wait(self) -> None:
        deadline = self._clock() + self._patience
        with self._changed:
            while waited := [
                each
                for each in self._owners.values()
                if each.pending and self._clock() >= each.late_until
            ]:
                if (left := deadline - self._clock()) <= 0:
                    for owner in waited:
                        owner.late_until = self._clock() + self._late_seconds
                    return
                self._changed.wait(left)

    def is_busy(self, uid: int) -> bool:
        """Return whether the owner's thread still has something to write."""
        owner = self._owners.get(uid)  # an idle thread may take it away at any time
        return owner is not None and owner.pending > 0

    def is_late(self, uid: int) -> bool:
        """Return whether the owner's files took too long lately, so that nobody waits for them."""
        owner = self._owners.get(uid)
        return owner is not None and self._clock() < owner.late_until

    def list_busy(self) -> list[int]:
        """Return the uids of the owners of whose work ``on_done`` was not called for all yet."""
        with self._changed:
            busy = {uid for uid, owner in self._owners.items() if owner.pending}
            # what was written meanwhile is not to be asked for again
            return sorted(busy | {task.uid for task, _failure in self._done})

    def describe_wait(self, uid: int) -> str:
        """Return which file the owner's jobs wait for, and for how long; "" if for none."""
        owner = self._owners.get(uid)
        current = owner.current if owner is not None else None
        if current is None or (waited := self._clock() - current[1]) < self._patience:
            return ""
        return f"{current[0]} has not answered for {waited:.0f} s"

    def list_waits(self) -> dict[int, str]:
        """Map each uid whose files are waited for to ``describe_wait``."""
        with self._changed:
            uids = list(self._owners)
        return {uid: text for uid in uids if (text := self.describe_wait(uid))}

    def _serve(self, uid: int, owner: _Owner) -> None:
        user_logs = UserLogIndex()
        while True:
            try:
                task = owner.work.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                with self._changed:
                    if owner.pending == 0 and self._clock() >= owner.late_until:
                        del self._owners[uid]
                        return
                continue
            owner.current = (task.path, self._clock())
            failure = _write(task, user_logs)
            owner.current = None
            with self._changed:
                owner.pending -= 1
                self._done.append((task, failure))
                if owner.pending == 0:
                    self._changed.notify_all()


def _write(task: FileTask, user_logs: UserLogIndex) -> HoldReason | None:
    try:
        return task.write(user_logs)
    except Exception as error:  # one owner's trouble must not end his thread
        log.exception("writing %s", task.path)
        text = f"writing {task.path}: {type(error).__name__}: {error}"
        return HoldReason(HoldReasonCode.TRANSFER_OUTPUT_ERROR, 0, text)
