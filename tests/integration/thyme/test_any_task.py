"""A worker with real jobs and a fake broker: job after job, and whatever a message may ask."""

import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.fake_broker import FakeBroker
from tests.support.fake_schedd import FakeSchedd, submission
from tests.support.run_job import script
from tests.support.virtual_time import VirtualTime
from thyme.errors import BadMessage
from thyme.protocol.codec import encode
from thyme.protocol.events import Evicted, Finished, Message
from thyme.protocol.job import SandboxFile, Task
from thyme.worker.shutdown import Shutdown
from thyme.worker.worker import Worker, WorkerSettings

# what a test starts ends with it, as with the worker: see conftest.py
pytestmark = pytest.mark.own_process


def work_on(workdir: Path, *tasks: Task) -> list[Message]:
    """Return what a real worker, with real jobs and a fake broker, says of these tasks."""
    clock = VirtualTime()
    broker = FakeBroker(clock, real_jobs=True)
    FakeSchedd(broker)
    for number, task in enumerate(tasks):
        broker.submit("alien_jobs", [encode(submission(task, f"{number}.0"))])
    before = len(broker.stream)
    worker = Worker(
        WorkerSettings("alien_jobs", workdir, timeout=5.0, max_jobs=0, user="self"),
        broker.connect, Shutdown(), clock, time.time, clock.sleep,
    )  # fmt: skip
    assert worker.run() == 0
    assert broker.queues["alien_jobs"] == {}
    assert list(workdir.iterdir()) == []
    return broker.messages()[before:]


def test_a_worker_takes_job_after_job(tmp_path: Path) -> None:
    told = work_on(tmp_path, script("exit 4"), Task("/nope"), script("echo hi; echo x > f"))

    assert [message.kind for message in told] == ["started", "finished"] * 3
    first, second, third = told[1::2]
    assert isinstance(first, Finished)
    assert isinstance(second, Finished)
    assert isinstance(third, Finished)
    assert (first.exit_code, first.hold) == (4, None)
    assert (second.exit_code, second.signal) == (None, None)
    assert second.hold is not None
    assert second.hold.code == 6
    assert (third.stdout, third.files[0].data) == (b"hi\n", b"x\n")
    assert third.host.endswith(f"@{socket.gethostname()}")


anything = st.text(st.characters(), max_size=12)
part = anything.filter(lambda t: t not in ("", ".", "..") and "/" not in t and "\0" not in t)
SOME_NAMES = st.sampled_from(["a", "b", "_condor_stdout"])
DOTS = st.sampled_from(["a", ".", "..", "/"])
programs = st.sampled_from(
    [
        (SandboxFile("condor_exec.exe", text, mode),)
        for mode in (0o755, 0o644, 0)
        for text in (
            b"",
            b"#!/bin/sh\ncat; rm -f a b _condor_stdout; exit 9\n",
            b"#!/nope\n",
            b"\x7fELF",
        )
    ]
)
ANY_TASK = st.builds(
    Task,
    executable=st.sampled_from(["condor_exec.exe", "/bin/echo", "nope", ".", "\ud800"]),
    arguments=st.lists(anything, max_size=3).map(tuple),
    environment=st.dictionaries(anything, anything, max_size=3),
    scratch_env=st.lists(anything, max_size=2).map(tuple),
    files=st.builds(
        lambda program, more: program + more,
        programs,
        st.lists(
            st.builds(
                SandboxFile,
                st.lists(part | SOME_NAMES, min_size=1, max_size=3).map("/".join),
                st.binary(max_size=9),
                st.integers(0, 0o777),
            ),
            max_size=3,
        ).map(tuple),
    ),
    stdin=st.sampled_from(["", "a", "b", "nope", "/etc", "a/b", "\ud800"]),
    # jobs really run there: nowhere but in their own scratch
    directory=st.sampled_from(["", "a", "nope", "\0", "\ud800"]),
    output_files=st.none() | st.lists(part | DOTS, max_size=2).map(tuple),
    merge_stderr=st.booleans(),
    max_stream=st.integers(0, 9) | st.just(2**62),
    max_output=st.integers(0, 9) | st.just(2**62),
    kill_signal=st.integers(0, 64),
    kill_grace=st.sampled_from([0.0, 1e299]),
    lease=st.sampled_from([0.0, 1e-300, 1e299]),
)  # fmt: skip


def test_no_message_whatever_makes_a_worker_fail(tmp_path: Path) -> None:
    @given(ANY_TASK)
    @settings(
        max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow],
    )  # fmt: skip
    def check(task: Task) -> None:
        try:
            encode(submission(task))
        except BadMessage:
            return  # nobody can send it
        told = work_on(tmp_path, task, replace(Task("/bin/true"), merge_stderr=True))
        assert [message.kind for message in told] == ["started", "finished"] * 2
        assert not any(isinstance(message, Evicted) for message in told)

    check()
