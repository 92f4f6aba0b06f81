"""Observe, plan, act; and the duties of PID 1."""

import os
import select
import shutil
import signal
import time
from typing import Any, Callable, Dict, List, Optional

from . import renewal, status
from .ce import Recipe, lacking, recipe
from .credentials import Look as LookAt
from .plan import (
    Action,
    Clock,
    End,
    Ended,
    Failed,
    Kill,
    Look,
    Start,
    State,
    after,
    failed,
    plan,
    problems,
    renewed,
    told,
)
from .settings import Settings
from .tasks import Done, Tasks

#: Seconds between two looks at the clock when nothing happens.
TICK = 0.5
#: Seconds between two writings of the status file.
STATUS = 5.0
#: What of the output is shown: the questions to the schedd are asked every second.
QUIET = {"schedd"}

#: The lines themselves are the site's and may hold a password.
SAID = {
    "ce": "starting the CE",
    "ce-start": "starting the CE",
    "ce-stop": "stopping the CE",
    "renew": "making a new proxy",
}

Say = Callable[[str, str], None]


def now() -> Clock:
    return Clock(time.monotonic(), time.time())


class Box:
    """The VO box.  ``tasks`` starts processes, ``look`` reads credentials: both have fakes."""

    def __init__(self, settings: Settings, tasks: Tasks, look: LookAt, say: Say) -> None:
        self.settings = settings
        self.recipe: Recipe = recipe(settings)
        self._tasks = tasks
        self._look = look
        self._say = say
        self._commands = os.path.join(settings.directory, "bin")
        self._renewal = ""
        self._waits = ""
        self._written = 0.0
        self._news: Dict[str, Any] = {}
        self.state = State(began=now().mono)

    def turn(self, clock: Clock) -> Optional[int]:
        """One look, one plan, and what it says; the exit code when it is over."""
        for done in self._tasks.reap():
            self._ended(done, clock)
        self._observe(clock)
        for action in plan(self.state, self.settings, self.recipe, clock):
            if isinstance(action, End):
                self._say("vobox", action.why)
                return action.code
            self._act(action, clock)
        self._tell(clock)
        return None

    def stop(self, number: int, clock: Clock) -> None:
        """SIGTERM: pass it on and end; a second one: do not wait any longer."""
        if self.state.stopping is None:
            self._say(
                "vobox", "signal %d: stopping, %.0f s at most" % (number, self.settings.grace)
            )
            self.state = self.state._replace(stopping=clock.mono)
            for task in list(self.state.running):
                self._tasks.signal(task, signal.SIGTERM)
        else:
            self.state = self.state._replace(stopping=clock.mono - self.settings.grace)

    def bury(self) -> None:
        """End what a CE has left behind, so that nothing outlives us where we are not PID 1."""
        self._tasks.end_rest()

    # --- observe ---------------------------------------------------------------------

    def _observe(self, clock: Clock) -> None:
        state = self.state
        good = state.looked is not None and not problems(state)
        if state.schedd_seen and good and not state.ready:
            self._say("vobox", "schedd and credentials are there")
            state = state._replace(ready=True)
        if state.ready and state.ce_since is None and "ce" not in state.running:
            path = self._environment({})["PATH"]
            missing = lacking(
                self.settings, os.path.exists, lambda name: bool(shutil.which(name, path=path))
            )
            state = state._replace(lacking=missing)
        self.state = state

    def _ended(self, done: Done, clock: Clock) -> None:
        before = self.state
        timed_out = done.task in before.late and before.stopping is None
        end = Ended(None if timed_out else done.code, done.tail, clock.mono)
        self.state = after(before, done.task, end, self.settings, self.recipe)
        if done.task == "renew":
            problem = told(end) if end.code != 0 else ""
            problem = problem or renewal.accept(self.settings, self._renewal, clock.wall)
            self.state = renewed(self.state, problem, clock.mono)
            shutil.rmtree(self._renewal, ignore_errors=True)
            if problem:
                wait = self.state.renew_retry - clock.mono
                text = "ERROR: the proxy was not renewed: %s; again in %.0f s" % (problem, wait)
                self._say("vobox", text)
            else:
                self._say("vobox", "the proxy was renewed")
        elif done.task == "ce" and self.state.ce_over is not None:
            self._say("vobox", "the CE came to its end: " + told(end))
        elif self.state.ce_retry != before.ce_retry and self.state.stopping is None:
            wait = self.state.ce_retry - clock.mono
            text = "ERROR: %s; started again in %.0f s" % (self.state.ce_problem, wait)
            self._say("vobox", text)

    # --- act -------------------------------------------------------------------------

    def _act(self, action: Action, clock: Clock) -> None:
        if isinstance(action, Look):
            found = self._look(self.settings, clock.wall)
            self.state = self.state._replace(credentials=found, looked=clock.mono)
        elif isinstance(action, Kill):
            self._tasks.signal(action.task, action.number)
            self.state = self.state._replace(late=self.state.late | {action.task})
        elif isinstance(action, Failed):
            self.state = failed(self.state, action.why, clock.mono, clock.mono, self.settings)
            wait = self.state.ce_retry - clock.mono
            text = "ERROR: cannot start the CE: %s; again in %.0f s" % (action.why, wait)
            self._say("vobox", text)
        elif isinstance(action, Start):
            self._start(action.task, clock)

    def _start(self, task: str, clock: Clock) -> None:
        try:
            line, extra = self._line(task)
            if task in SAID:
                self._say("vobox", SAID[task])
            self._tasks.start(task, line, self._environment(extra), loud=task not in QUIET)
        except (OSError, ValueError) as error:
            code = 127
            why = (error.strerror if isinstance(error, OSError) else None) or str(error)
            running = {**self.state.running, task: clock.mono}
            self.state = self.state._replace(running=running)
            self._ended(Done(task, code, why), clock)
            return
        self.state = self.state._replace(running={**self.state.running, task: clock.mono})

    def _line(self, task: str) -> "tuple[str, Dict[str, str]]":
        if task == "schedd":
            return "exec condor_q", {}
        if task == "renew":
            line = renewal.line(self.settings)
            self._renewal, extra = renewal.prepare(self.settings)
            return line, extra
        lines = {"ce": self.recipe.start, "ce-start": self.recipe.start}
        lines.update({"ce-status": self.recipe.status, "ce-stop": self.recipe.stop})
        return lines[task], {}

    def _environment(self, extra: Dict[str, str]) -> Dict[str, str]:
        user = self.settings.user
        given = {name: text for name, text in self.settings.environment.items() if text}
        return {
            **given,
            # another user has another home; our own may be where the environment says
            "HOME": given.get("HOME", user.home) if user.uid == os.geteuid() else user.home,
            "USER": user.name,
            "LOGNAME": user.name,
            "THYME_COMMANDS": self._commands,
            "PATH": self._commands + ":" + (given.get("PATH") or os.defpath),
            **extra,
        }

    # --- tell ------------------------------------------------------------------------

    def _tell(self, clock: Clock) -> None:
        waits = self._waiting()
        if waits != self._waits:
            self._waits = waits
            if waits:
                how = "ERROR: " if self.state.ready else "waiting for "
                self._say("vobox", how + waits)
        content = status.document(self.state, self.settings, self.recipe, clock)
        news = {**content, "looked": None}
        if news != self._news or clock.mono - self._written >= STATUS:
            self._news, self._written = news, clock.mono
            try:
                status.write(self.settings.directory, content)
            except OSError as error:
                self._say("vobox", "ERROR: cannot write the status: %s" % error)

    def _waiting(self) -> str:
        state = self.state
        texts: List[str] = []
        if state.stopping is not None:
            return ""
        if not state.schedd_seen and "schedd" in state.ended:
            tail = state.ended["schedd"].tail
            texts.append("the schedd at %s (%s)" % (self.settings.socket, tail))
        texts += problems(state)
        return "; ".join(texts)


def run(box: Box) -> int:
    """Turn until it is over; the exit code."""
    wake, waker = os.pipe()
    for handle in (wake, waker):
        os.set_blocking(handle, False)
    asked: List[int] = []
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: asked.append(number))
    signal.set_wakeup_fd(waker)
    while True:
        code = box.turn(now())
        if code is not None:
            box.bury()
            return code
        select.select([wake], [], [], TICK)
        try:
            while os.read(wake, 512):
                pass
        except BlockingIOError:
            pass
        while asked:
            box.stop(asked.pop(0), now())
