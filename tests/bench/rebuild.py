"""How long a schedd with an empty disk needs for a long stream."""

import os
import queue
import tempfile
import threading
import time
from itertools import islice
from pathlib import Path

from tests.support.fake_broker import FakeBroker, FakeTransport
from thyme.broker import Record
from thyme.broker.routing_keys import make_event_key, make_submit_key
from vobox.ledger.writer import Ledger
from vobox.rpc.types import Request
from vobox.schedd.main_loop import Schedd
from vobox.schedd.state import Settings
from vobox.server.query_service import QueryService

from .job_agents import SCHEDD, JobAgents
from .result import Result

EVENTS = 1_000_000
#: Seconds.
GOAL = 180.0
_POOL = "alien_jobs"


class LongStream(FakeTransport):
    """A broker whose stream began long ago; its events are made as they are read."""

    def __init__(self, events: int) -> None:
        super().__init__(FakeBroker())
        # enough jobs for so many events: four events a job, and some more
        self._life = islice(JobAgents().life(events), events)
        self._events = events
        self._read = 0

    def read(self, after: int, limit: int) -> list[Record]:
        if after >= self._events:
            newer = super().read(after - self._events, limit)
            return [
                Record(self._events + each.offset, each.time, each.body, each.key) for each in newer
            ]
        if max(after, 0) != self._read:
            raise AssertionError(f"offset {after} after {self._read}: read in order")
        found = []
        for body in islice(self._life, limit):
            self._read += 1
            kind = make_event_key(body)
            key = make_submit_key(_POOL) if kind == "event.submit" else kind
            found.append(Record(self._read, 0.0, body, key))
        return found


def rebuild() -> Result:
    """Time a whole schedd, without the broker's network, from its start until it is ready."""
    with tempfile.TemporaryDirectory(prefix="rebuild-") as directory:
        path = Path(directory) / "ledger.db"
        # the schedd has a thread of its own here, and its ledger is that thread's
        started: queue.SimpleQueue[Schedd] = queue.SimpleQueue()
        ready = threading.Event()

        def run() -> None:
            ledger = Ledger(path)
            transport = LongStream(EVENTS)
            schedd = Schedd(Settings(SCHEDD, _POOL), lambda: transport, ledger)
            started.put(schedd)
            schedd.run(ready.set)
            ledger.close()

        thread = threading.Thread(target=run, daemon=True)
        start, began = time.perf_counter(), time.process_time()
        thread.start()
        schedd = started.get(timeout=60)
        queries = QueryService(
            path, SCHEDD, "<x>", schedd.staleness, schedd.slot_ads, schedd.live_attributes
        )
        question = Request("condor_q", [], "/", {}, os.geteuid(), os.getegid(), "alice")
        said = set()
        while not ready.wait(5.0):
            answer = queries.answer(question, time.time())
            assert time.perf_counter() - start < 10 * GOAL, answer.stderr
            assert thread.is_alive(), answer.stderr
            said.add((answer.code, "is being rebuilt from the stream" in answer.stderr))
        value, computed = time.perf_counter() - start, time.process_time() - began
        answer = queries.answer(question, time.time())
        schedd.stop()
        thread.join()
        assert said == {(1, True)}, f"condor_q answered as if nothing was missing: {said}"
        assert (answer.code, answer.stderr) == (0, ""), answer.stderr
    return Result(
        what=f"a ledger made again from a stream of {EVENTS:,} events, {computed:.3g} s of CPU; "
        "condor_q says so meanwhile",
        value=value,
        unit="s",
        reference=f"{GOAL:g} s",
        ratio=value / GOAL,
        goal=f"<= {GOAL:g} s",
        met=value <= GOAL,
    )
