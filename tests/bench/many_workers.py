"""Whether a broker and a schedd stay responsive with thousands of workers."""

from __future__ import annotations

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

WORKERS = 8000
PROCESSES = 4
#: Seconds until the last job is handed out, and that condor_q may take meanwhile.
GOAL, ANSWER = 10.0, 0.2
ROOT = Path(__file__).parents[2]


class Crowd:
    """Light workers in some processes; ``times`` is when each took its job."""

    def __init__(self, site: AmqpSite) -> None:
        self.connected = 0
        self.times: list[float] = []
        self._processes = []
        self._threads = []
        share = WORKERS // PROCESSES
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
            while not self._enough.wait(0.2):
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
    """Seconds from condor_submit's start until the last of 8,000 workers has started its job."""
    with amqp_site() as site:
        begin = time.monotonic()
        crowd = Crowd(site)
        try:
            wait_until(
                lambda: crowd.check() or crowd.connected == PROCESSES,
                f"{WORKERS} workers to connect", timeout=300.0, state=site.rabbit.said,
            )  # fmt: skip
            connecting = time.monotonic() - begin
            idle = asked_while(site, lambda: time.sleep(5.0))
            submitted, took = 0.0, 0.0

            def hand_out() -> None:
                nonlocal submitted, took
                start = time.monotonic()
                text = ["executable = /bin/true", "transfer_executable = false"]
                site.ask("condor_submit", stdin=submit_text([*text, f"queue {WORKERS}"]))
                submitted = time.monotonic() - start
                wait_until(
                    lambda: crowd.check() or len(crowd.times) >= WORKERS,
                    f"{WORKERS} jobs to be handed out", timeout=300.0,
                    state=lambda: len(crowd.times),
                )  # fmt: skip
                took = max(crowd.times) - start

            busy = asked_while(site, hand_out)
            wait_until(
                lambda: f"{WORKERS} running" in site.ask("condor_q", "-totals"),
                "condor_q to show all of them running", timeout=120.0,
                state=lambda: site.ask("condor_q", "-totals"),
            )  # fmt: skip
            known = time.monotonic() - max(crowd.times)
        finally:
            crowd.end()
    answer = max(*idle, *busy)
    return Result(
        id="workers-8000",
        what=f"{WORKERS} connected workers ({connecting:.0f} s to connect): from condor_submit "
        f"(itself {submitted:.1f} s) to the last job started; all running in condor_q "
        f"{known:.1f} s later; condor_q median {statistics.median([*idle, *busy]):.2f} s, "
        f"worst idle {max(idle):.2f} s, worst meanwhile {max(busy):.2f} s",
        value=took,
        unit="s",
        reference=f"{GOAL:g} s",
        ratio=took / GOAL,
        goal=f"<= {GOAL:g} s, condor_q <= {ANSWER} s at worst",
        met=took <= GOAL and answer <= ANSWER,
    )


def asked_while(site: AmqpSite, action: Callable[[], None]) -> list[float]:
    asker = Asker(site)
    asker.start()
    try:
        action()
    finally:
        seconds = asker.stop()
    return seconds
