"""Whether a broker and a schedd stay responsive with thousands of workers."""

import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.process_site import submit_text
from tests.support.waiting import wait_until

from .amqp_site import AmqpSite, amqp_site
from .result import Result

PROCESSES = 4
#: Seconds that condor_q may take meanwhile.
ANSWER = 0.2
ROOT = Path(__file__).parents[2]


class Crowd:
    """Light workers in some processes; ``times`` is when each took its job."""

    def __init__(self, site: AmqpSite, workers: int) -> None:
        self.connected = 0
        self.times: list[float] = []
        self._processes = []
        self._threads = []
        share = workers // PROCESSES
        for number in range(PROCESSES):
            program = [sys.executable, "-m", "tests.bench.light_workers"]
            process = subprocess.Popen(
                [*program, str(share), str(number * share)],
                cwd=ROOT, env=site.env, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            self._processes.append(process)
            self._threads.append(threading.Thread(target=self._listen, args=[process]))
            self._threads[-1].start()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("connected"):
                self.connected += 1
            else:
                self.times.append(float(line))

    def check(self) -> None:
        for process in self._processes:
            assert process.poll() is None, "light workers died; see their traceback above"

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        for thread in self._threads:
            thread.join()


class Asker(threading.Thread):
    """Asks condor_q over and over; ``seconds`` of each."""

    def __init__(self, site: AmqpSite) -> None:
        super().__init__()
        self._site = site
        self._enough = threading.Event()
        self.seconds: list[float] = []
        self.failed: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._enough.wait(0.5):
                begin = time.monotonic()
                self._site.ask("condor_q", "-totals")
                self.seconds.append(time.monotonic() - begin)
        except BaseException as error:  # reported by the thread that joins us
            self.failed = error

    def stop(self) -> list[float]:
        self._enough.set()
        self.join()
        if self.failed is not None:
            raise self.failed
        return self.seconds


def workers_8000() -> Result:
    """Measure with 8,000 workers."""
    return hand_out_jobs(8000, 10.0)


def workers_17000() -> Result:
    """Measure with as many workers as one machine has sockets for."""
    return hand_out_jobs(17000, 15.0)


def hand_out_jobs(workers: int, goal: float) -> Result:
    """Return the seconds from condor_submit's start until the last worker has started its job.

    ``workers``: how many there are, and jobs; ``goal``: in seconds.
    """
    with amqp_site() as site:
        begin = time.monotonic()
        crowd = Crowd(site, workers)
        try:
            wait_until(
                lambda: crowd.check() or crowd.connected == PROCESSES,
                f"{workers} workers to connect", timeout=600.0, state=site.rabbit.said,
            )  # fmt: skip
            connecting = time.monotonic() - begin
            idle = asked_while(site, lambda: time.sleep(5.0))  # what is measured is this very time
            submitted, took = 0.0, 0.0

            def hand_out() -> None:
                nonlocal submitted, took
                start = time.monotonic()
                lines = ["executable = /bin/true", "transfer_executable = false"]
                text = submit_text([*lines, f"queue {workers}"])
                done = site.command("condor_submit", stdin=text, timeout=600.0)
                assert done.returncode == 0, done
                submitted = time.monotonic() - start
                wait_until(
                    lambda: crowd.check() or len(crowd.times) >= workers,
                    f"{workers} jobs to be handed out", timeout=600.0,
                    state=lambda: len(crowd.times),
                )  # fmt: skip
                took = max(crowd.times) - start

            busy = asked_while(site, hand_out)
            wait_until(
                lambda: f"{workers} running" in site.ask("condor_q", "-totals"),
                "condor_q to show all of them running", timeout=120.0,
                state=lambda: site.ask("condor_q", "-totals"),
            )  # fmt: skip
            known = time.monotonic() - max(crowd.times)
        finally:
            crowd.end()
    answer = max(*idle, *busy)
    return Result(
        what=f"{workers} connected workers ({connecting:.0f} s to connect): from condor_submit "
        f"(itself {submitted:.1f} s) to the last job started; all running in condor_q "
        f"{known:.1f} s later; condor_q median {statistics.median([*idle, *busy]):.2f} s, "
        f"worst idle {max(idle):.2f} s, worst meanwhile {max(busy):.2f} s",
        value=took,
        unit="s",
        reference=f"{goal:g} s",
        ratio=took / goal,
        goal=f"<= {goal:g} s, condor_q <= {ANSWER} s at worst",
        met=took <= goal and answer <= ANSWER,
    )


def asked_while(site: AmqpSite, action: Callable[[], None]) -> list[float]:
    asker = Asker(site)
    asker.start()
    try:
        action()
    finally:
        seconds = asker.stop()
    return seconds
