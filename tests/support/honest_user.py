"""A user who submits, asks and waits for a job, and how long each takes him."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.support.schedd_process import LiveSchedd
from tests.support.waiting import wait_until

#: Seconds that are never too long, and how many times its quiet time an action may take.
ENOUGH, TIMES = 5.0, 2.0
#: Seconds that are too long whatever it takes when nobody attacks.
TOO_LONG = 30.0
#: Tries, the best of which counts: this machine may have other work.
TRIES = 3


@dataclass
class HonestUser:
    """Times his actions; ``uid``: whose they are (None: ours). A worker has to run."""

    schedd: LiveSchedd
    uid: int | None = None
    quiet: dict[str, float] = field(default_factory=dict)
    #: what took longer during an attack than it had taken before it
    late: list[tuple[str, float]] = field(default_factory=list)

    def submit(self) -> float:
        began = time.monotonic()
        self.cluster = self.schedd.submit("executable = /bin/true\nqueue", uid=self.uid)
        return time.monotonic() - began

    def query(self) -> float:
        began = time.monotonic()
        done = self.schedd.run("condor_q", "-totals", uid=self.uid)
        assert done.returncode == 0, done
        return time.monotonic() - began

    def job(self) -> float:
        """From its submit until condor_history has it."""
        began = time.monotonic()
        self.submit()

        def has_ended() -> str:
            asked = ("condor_history", str(self.cluster), "-af", "JobStatus")
            return self.schedd.run(*asked, uid=self.uid).stdout.strip()

        assert wait_until(has_ended, "the honest user's job") == "4"
        return time.monotonic() - began

    def measure_quiet(self) -> None:
        """Remember how long each takes while nobody attacks."""
        for name, action in self.actions().items():
            action()
            self.quiet[name] = max(action(), action())

    def actions(self) -> dict[str, Callable[[], float]]:
        return {"submit": self.submit, "query": self.query, "job": self.job}

    def check(self, *names: str) -> None:
        """Time his actions (these; none: all) during an attack; ``settle`` has to follow it."""
        for name, action in self.actions().items():
            if names and name not in names:
                continue
            limit = max(ENOUGH, TIMES * self.quiet[name])
            took: list[float] = []
            while len(took) < TRIES and (not took or min(took) > limit):
                took.append(action())
            assert min(took) <= TOO_LONG, f"{name}: {took} s; quiet: {self.quiet[name]:.2f} s"
            if min(took) > limit:
                self.late.append((name, min(took)))

    def settle(self) -> None:
        """Fail where an action took too long in the attack that is over.

        It is compared with the time that it takes now: the machine may have got other work.
        """
        late, self.late = self.late, []
        for name, took in late:
            action = self.actions()[name]
            now = max(action(), action())
            limit = max(ENOUGH, TIMES * self.quiet[name], TIMES * now)
            assert took <= limit, (
                f"{name}: {took:.2f} s; quiet: {self.quiet[name]:.2f}, {now:.2f} s"
            )
