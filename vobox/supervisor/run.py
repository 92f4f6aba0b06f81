"""``thyme-vobox run``: wait for the schedd and the credentials, then keep the CE running."""

import json
import os
import shutil
import signal
import subprocess
from typing import Any, Callable, Dict, Optional, Tuple

from hostfiles.regular_file import open_regular

from . import renewal
from .ce import find_lacking, find_recipe
from .credentials import Credential, CredentialCheck
from .processes import Result, StopRequested, System, describe_code
from .settings import Settings

#: Seconds between two questions to the schedd while we wait for it.
ASK = 1.0
#: Seconds between two checks of the credentials: while we wait for them, and afterwards.
CHECK_WAITING, CHECK = 5.0, 60.0
#: Seconds that a command may take. A condor command answers within 60 s, or a CE gives it up.
ASK_TIMEOUT, START_TIMEOUT, STATUS_TIMEOUT = 60.0, 300.0, 120.0
#: A CE that ran for so many seconds did not fail at its start: the next wait is short again.
SETTLED = 600.0
#: Seconds before a failed renewal is tried again; doubled up to the second.
RENEW_AGAIN, RENEW_AGAIN_MAX = 60.0, 3600.0
#: A CE in the background whose status command failed so often in a row is dead.
STATUS_FAILURES = 2
FOREVER = float("inf")
STATUS_FILE = "status.json"

Say = Callable[[str], None]


class GivenUp(Exception):
    """What we waited for did not come; ``code`` is the exit code."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class Supervisor:
    """Keeps one CE running. ``system`` and ``check`` (of the credentials) have fakes in tests."""

    def __init__(
        self, settings: Settings, system: System, check: CredentialCheck, say: Say
    ) -> None:
        self._settings = settings
        self._recipe = find_recipe(settings)
        self._system = system
        self._check = check
        self._say = say
        self._commands = os.path.join(settings.directory, "bin")
        self._process: "Optional[subprocess.Popen[bytes]]" = None  # a CE in the foreground
        self._in_background = False  # a CE in the background was started and not stopped
        self._credentials: Tuple[Credential, ...] = ()
        self._next_check = 0.0
        self._renew_failures = 0
        self._next_renewal = 0.0
        self._reported = ""
        self._status: Dict[str, Any] = {}

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; returns the exit code."""
        try:
            self.wait_for_schedd()
            self.wait_for_credentials()
            self.keep_ce_running()
        except GivenUp as error:
            self._say(str(error))
            return error.code
        except StopRequested as stop:
            self.stop(stop.number)
        finally:
            self._system.kill_children()
        return 0

    def wait_for_schedd(self) -> None:
        """Wait until plain condor_q ends with 0. Raises GivenUp."""
        self._set_status("waiting for the schedd")
        settings = self._settings
        until = self._system.monotonic() + settings.schedd_timeout
        while True:
            asked = self._run("exec condor_q", ASK_TIMEOUT)
            if asked.code == 0:
                return
            reason = asked.last_line or "it did not answer"
            self._report("waiting for the schedd at %s (%s)" % (settings.socket, reason))
            if self._system.monotonic() >= until:
                why = "no schedd within %.0f s: %s" % (settings.schedd_timeout, reason)
                raise GivenUp(3, why)
            self._pause(ASK)

    def wait_for_credentials(self) -> None:
        """Wait until all credentials are good, and make a proxy if that is our task."""
        self._set_status("waiting for the credentials")
        timeout = self._settings.credentials_timeout
        until = self._system.monotonic() + timeout
        while True:
            problems = self._check_credentials("waiting for ")
            if not problems:
                self._say("schedd and credentials are there")
                return
            if self._system.monotonic() >= until:
                raise GivenUp(4, "no credentials within %.0f s: %s" % (timeout, problems))
            self._pause(CHECK_WAITING)

    def keep_ce_running(self) -> None:
        """Start the CE whenever it has ended, after growing waits; until StopRequested."""
        failures = 0
        while True:
            began = self._system.monotonic()
            why = self._run_ce() if self._recipe.start else self._have_no_ce()
            failures = 1 if self._system.monotonic() - began > SETTLED else failures + 1
            wait = min(
                self._settings.backoff * 2 ** min(failures - 1, 30), self._settings.backoff_max
            )
            self._say("ERROR: %s; started again in %.0f s" % (why, wait))
            self._set_status("down", why)
            self._watch(wait)

    def stop(self, number: int) -> None:
        """Stop the CE: ask it to end, and kill it after the grace or at a second signal."""
        grace = self._settings.grace
        self._say("signal %d: stopping, %.0f s at most" % (number, grace))
        self._set_status("stopping")
        until = self._system.monotonic() + grace
        try:
            if self._in_background:
                stopped = self._system.run_service(self._recipe.stop, self._environment(), grace)
                if stopped.code != 0:
                    self._say("ERROR: the CE did not stop: %s" % str(stopped))
            elif self._process is not None:
                self._system.signal_group(self._process, signal.SIGTERM)
                while self._process.poll() is None and self._system.monotonic() < until:
                    self._system.wait(until - self._system.monotonic())
        except StopRequested:
            self._say("a second signal: killing what is left")
        if self._process is not None:
            self._system.kill_group(self._process)
        self._say("stopped")

    # --- the CE ---------------------------------------------------------------------------

    def _run_ce(self) -> str:
        """Start the CE and watch it; returns why it has to be started again."""
        path = self._environment()["PATH"]
        lacking = find_lacking(
            self._settings, os.path.exists, lambda name: bool(shutil.which(name, path=path))
        )
        if lacking:
            return "cannot start the CE: " + lacking
        self._say("starting the CE")
        self._set_status("starts")
        return self._run_in_background() if self._recipe.status else self._run_in_foreground()

    def _run_in_foreground(self) -> str:
        try:
            process = self._system.start(self._recipe.start, self._environment())
        except OSError as error:
            return "the CE did not start: %s" % (error.strerror or error)
        self._process = process
        self._set_status("runs")
        self._watch(FOREVER, lambda: process.poll() is not None)
        self._system.kill_group(process)  # half a CE must not live on
        self._system.forget(process)
        self._process = None
        code = process.returncode
        if self._recipe.ends:
            self._say("the CE came to its end: " + describe_code(code))
            self._set_status("ended with %d" % code)
            self._watch(FOREVER)
        return "the CE ended: " + describe_code(code)

    def _run_in_background(self) -> str:
        self._in_background = True
        started = self._system.run_service(self._recipe.start, self._environment(), START_TIMEOUT)
        if started.code != 0:
            return "the CE did not start: %s" % str(started)
        self._set_status("runs")
        failures = 0
        while True:
            self._watch(self._settings.check)
            answer = self._run(self._recipe.status, STATUS_TIMEOUT, show="ce-status")
            failures = 0 if answer.code == 0 else failures + 1
            if failures == STATUS_FAILURES:
                return "the CE does not answer: %s" % str(answer)

    def _have_no_ce(self) -> str:
        self._set_status("none")
        self._watch(FOREVER)
        return ""

    # --- the credentials ------------------------------------------------------------------

    def _check_credentials(self, report: str) -> str:
        """Check the credentials, and renew the proxy if it is due; returns what is wrong."""
        if self._renew():
            self._credentials = self._check(self._settings, self._system.time())
        self._next_check = self._system.monotonic() + CHECK
        problems = "; ".join(one.problem for one in self._credentials if one.problem)
        self._report(report + problems if problems else "")
        return problems

    def _renew(self) -> bool:
        """Check, and make a new proxy if it is due; returns whether to check again."""
        settings, system = self._settings, self._system
        self._credentials = self._check(settings, system.time())
        if system.monotonic() < self._next_renewal:
            return False
        if not renewal.is_due(self._credentials, settings, system.time()):
            return False
        self._say("making a new proxy")
        problem = renewal.renew(
            settings, lambda line, extra: self._run(line, renewal.TIMEOUT, extra, "renew"),
            system.time(),
        )  # fmt: skip
        if problem:
            wait = min(RENEW_AGAIN * 2 ** min(self._renew_failures, 30), RENEW_AGAIN_MAX)
            self._renew_failures += 1
            self._next_renewal = system.monotonic() + wait
            self._say("ERROR: the proxy was not renewed: %s; again in %.0f s" % (problem, wait))
        else:
            self._renew_failures, self._next_renewal = 0, 0.0
            self._say("the proxy was renewed")
        self._set_status(renewal_problem=problem)
        return not problem

    # --- waiting and telling --------------------------------------------------------------

    def _watch(self, seconds: float, has_ended: Callable[[], bool] = lambda: False) -> None:
        """Wait for so long or until ``has_ended``; check the credentials meanwhile."""
        now = self._system.monotonic
        until = now() + seconds
        while not has_ended() and now() < until:
            if now() >= self._next_check:
                self._check_credentials("ERROR: ")
            else:
                self._system.wait(min(until, self._next_check) - now())

    def _pause(self, seconds: float) -> None:
        until = self._system.monotonic() + seconds
        while self._system.monotonic() < until:
            self._system.wait(until - self._system.monotonic())

    def _run(
        self, line: str, timeout: float, extra: Optional[Dict[str, str]] = None, show: str = ""
    ) -> Result:
        return self._system.run(line, {**self._environment(), **(extra or {})}, timeout, show)

    def _environment(self) -> Dict[str, str]:
        user = self._settings.user
        given = {name: text for name, text in self._settings.environment.items() if text}
        return {
            **given,
            # another user has another home; our own may be where the environment says
            "HOME": given.get("HOME", user.home) if user.uid == os.geteuid() else user.home,
            "USER": user.name,
            "LOGNAME": user.name,
            "THYME_COMMANDS": self._commands,
            "PATH": self._commands + ":" + (given.get("PATH") or os.defpath),
        }

    def _report(self, text: str) -> None:
        """Say it once, until it changes."""
        if text and text != self._reported:
            self._say(text)
        self._reported = text

    def _set_status(
        self,
        state: Optional[str] = None,
        problem: str = "",
        renewal_problem: Optional[str] = None,
    ) -> None:
        """Write what ``thyme-vobox health`` reads; None: as before."""
        status = {"pid": os.getpid(), "state": "", "problem": "", "renewal_problem": ""}
        status.update(self._status)
        if state is not None:
            status.update(state=state, problem=problem)
        if renewal_problem is not None:
            status.update(renewal_problem=renewal_problem)
        self._status = status
        path = os.path.join(self._settings.directory, STATUS_FILE)
        try:
            with open(path + ".new", "w", opener=open_regular) as file:
                json.dump(status, file)
            os.rename(path + ".new", path)
        except OSError as error:
            self._say("ERROR: cannot write the status: %s" % error)
