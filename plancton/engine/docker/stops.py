"""Ask pilots to end, and kill those that still run when their grace is over.

The engine's own ``stop`` is not used: it would hold a connection for as long as the
grace lasts, sends SIGTERM once more with each call, and knows whole seconds only.

That a pilot was asked to end, and until when, is written into its container's name, which a
restarted daemon can read and which, unlike a label, can be changed. SIGTERM waits until the
pilot's first process can receive it: the kernel drops a signal that the first process of a pid
namespace neither handles nor blocks. Right before SIGKILL the processes leave the control group
that runs only on idle CPUs, since a killed process needs CPU time to free its memory.
"""

from __future__ import annotations

import logging
import signal as signals
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from plancton.engine.process import procfs
from plancton.errors import Conflict, EngineError, EngineUnavailable, NotThere

from .api import DockerApi
from .listing import StopRequest, encode_stop_request
from .threads import start_thread

_log = logging.getLogger("plancton")
#: Seconds to the next try where the engine did not answer.
_RETRY = 1.0
#: Seconds of grace up to which an ending pilot gets the CPU like the owner's programs: the
#: owner waits for what it holds.
HURRY_GRACE = 2.0
#: Seconds between two checks whether a pilot can receive SIGTERM by now: as long as it could
#: not so far, within these.
_LISTEN, _LISTEN_MAX = 0.02, 1.0
#: What engines say of a container that has ended meanwhile.
_ENDED = ("not running", "not paused", "state exited", "state stopped")


def ignores_sigterm(pid: int) -> bool:
    """Tell whether SIGTERM would be lost on this first process of a container."""
    return procfs.ignores_signal(pid, signals.SIGTERM)


@dataclass(frozen=True)
class _WaitingStop:
    """A pilot that was asked to end while it could not receive signals yet."""

    container: str
    pid: int
    since: float
    next_check: float


class Stops:
    """The pilots that were asked to end, by name.

    ``hurry`` gives a container the CPU to end; ``now`` is monotonic, ``wall`` since 1970.
    """

    def __init__(
        self,
        api: DockerApi,
        hurry: Callable[[str], None] = lambda _container: None,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        deaf: Callable[[int], bool] = ignores_sigterm,
    ) -> None:
        self._api, self._hurry, self._now, self._wall = api, hurry, now, wall
        self._deaf = deaf
        self._lock = threading.Condition()
        #: when to kill, by pilot: (moment, container)
        self._kills: dict[str, tuple[float, str]] = {}
        #: marks to be written: (container, name)
        self._marks: dict[str, str] = {}
        self._waiting: dict[str, _WaitingStop] = {}
        self._asked: set[str] = set()
        self._thread: threading.Thread | None = None
        self._closing = False

    def request(
        self, name: str, container: str, grace: float, paused: bool, pid: int | None = None
    ) -> None:
        """Send SIGTERM once, and SIGKILL after ``grace`` seconds or sooner if asked for that.

        SIGTERM waits until the container's first process ``pid`` can receive it; it is sent at
        once where that is not known.  Raises EngineError.
        """
        with self._lock:
            first = name not in self._asked
            self._asked.add(name)
            now = self._now()
            before = self._kills.get(name)
            nearer = before is None or now + grace < before[0]
            if nearer:
                self._kills[name] = (now + grace, container)
            tell = first and grace > 0
            if tell and pid is not None and self._deaf(pid):
                self._waiting[name] = _WaitingStop(container, pid, now, now + _LISTEN)
            if nearer and name not in self._waiting:
                self._marks[container] = encode_stop_request(
                    name, StopRequest(round(self._wall()), grace)
                )
            deaf = name in self._waiting
        if nearer:
            self._wake_thread()
        if grace <= HURRY_GRACE:
            self._hurry(container)
        if tell and not deaf:
            self._signal(container, "SIGTERM", paused)
        elif tell and paused:
            self._unpause(container)

    def adopt(self, name: str, container: str, asked: StopRequest) -> None:
        """Go on with the stop of a pilot that the daemon before has asked to end.

        ``name``: of the pilot, ``container``: its id, ``asked``: what is recorded of the request.
        """
        with self._lock:
            if name in self._asked:
                return
            self._asked.add(name)
            self._kills[name] = (self._now() + asked.left(self._wall()), container)
        self._wake_thread()

    def was_requested(self, name: str) -> bool:
        """Tell whether the pilot was asked to end."""
        with self._lock:
            return name in self._asked

    def mark_ended(self, name: str) -> None:
        """Note that the pilot has ended: nothing is to be killed, but it was asked all the same."""
        with self._lock:
            self._kills.pop(name, None)
            self._waiting.pop(name, None)

    def forget_gone(self, gone: Callable[[str], bool]) -> None:
        """Drop the memory of pilots that are not there any more; go on with those that are."""
        with self._lock:
            for name in [name for name in self._asked if gone(name)]:
                self._asked.discard(name)
                self._kills.pop(name, None)
                self._waiting.pop(name, None)
            is_lacking = self._thread is None and bool(self._kills)
        if is_lacking:  # it could not be started when they were asked
            self._wake_thread()

    def close(self) -> None:
        """Write the marks that are not written; the next daemon does the killing.

        A pilot that could not be signalled has no mark: the next daemon asks it again.
        """
        with self._lock:
            self._closing = True
            self._lock.notify_all()
        if self._thread is not None:
            self._thread.join()
        self._write_marks()

    def _wake_thread(self) -> None:
        with self._lock:
            if self._thread is None and not self._closing:
                try:
                    self._thread = start_thread(self._run, "ends")
                except EngineUnavailable as error:
                    _log.error("pilots that do not end cannot be killed yet: %s", error)
            self._lock.notify_all()

    def _run(self) -> None:
        while True:
            self._signal_ready()
            self._write_marks()
            with self._lock:
                if self._closing:
                    return
                now = self._now()
                due = {name: one for name, one in self._kills.items() if one[0] <= now}
                if not due and not self._marks:
                    moments = [at for at, _ in self._kills.values()]
                    moments += [one.next_check for one in self._waiting.values()]
                    first = min(moments, default=None)
                    self._lock.wait(None if first is None else first - now)
                    continue
            for name, (_, container) in due.items():
                self._kill(name, container)

    def _signal_ready(self) -> None:
        """Send SIGTERM to the pilots that can receive it by now."""
        ready = []
        with self._lock:
            now = self._now()
            for name, one in list(self._waiting.items()):
                if one.next_check > now:
                    continue
                if self._deaf(one.pid):
                    pause = min(_LISTEN_MAX, max(_LISTEN, now - one.since))
                    self._waiting[name] = replace(one, next_check=now + pause)
                    continue
                del self._waiting[name]
                left = max(0.0, self._kills[name][0] - now)
                self._marks[one.container] = encode_stop_request(
                    name, StopRequest(round(self._wall()), left)
                )
                ready.append((name, one.container))
        for name, container in ready:
            try:
                self._signal(container, "SIGTERM", paused=False)
            except EngineError as error:
                _log.error("%s cannot be asked to end: %s", name, error)

    def _kill(self, name: str, container: str) -> None:
        self._hurry(container)
        try:
            self._signal(container, "SIGKILL", paused=False)
        except EngineUnavailable:
            retry: float | None = _RETRY
        except EngineError as error:
            _log.error("%s cannot be killed: %s", name, error)
            retry = _RETRY
        else:
            retry = None
        with self._lock:
            if retry is None:
                self._kills.pop(name, None)
                self._waiting.pop(name, None)
            elif name in self._kills:
                self._kills[name] = (self._now() + retry, container)

    def _signal(self, container: str, signal: str, paused: bool) -> None:
        try:
            if paused:
                self._api.unpause(container)
            self._api.kill(container, signal)
        except NotThere:
            pass  # gone already
        except Conflict as error:
            text = str(error).lower()
            if "paused" in text and not paused:
                self._signal(container, signal, paused=True)
            elif not any(words in text for words in _ENDED):
                raise

    def _unpause(self, container: str) -> None:
        try:
            self._api.unpause(container)
        except (NotThere, Conflict):
            pass  # gone, or it runs already

    def _write_marks(self) -> None:
        while True:
            with self._lock:
                if not self._marks:
                    return
                container, name = self._marks.popitem()
            try:
                self._api.rename(container, name)
            except EngineError as error:
                # Only a daemon that comes after this one would have read it.
                _log.info("%s: not marked as asked to end: %s", name, error)
