"""A real job in a real scratch directory, run as the worker runs it."""

import time
from pathlib import Path

from tests.support.waiting import wait_until
from thyme.errors import NodeUnfit
from thyme.protocol.job import SandboxFile, Task
from thyme.worker.executor import Execution
from thyme.worker.sandbox import STDERR, STDOUT, Sandbox
from thyme.worker.start_errors import CannotStart

SLOT = "slot1_7@node"


def script(text: str, **task: object) -> Task:
    files = (SandboxFile("condor_exec.exe", f"#!/bin/sh\n{text}\n".encode(), 0o755),)
    return Task("condor_exec.exe", **{"files": files, **task})  # type: ignore[arg-type]


class Run:
    """A task in a scratch directory, run to its end (or started only: ``wait=False``)."""

    def __init__(self, workdir: Path, task: Task, wait: bool = True) -> None:
        self.task = task
        self.sandbox = Sandbox(workdir)
        try:
            self.sandbox.unpack(task)
            self.job = Execution(task, self.sandbox, SLOT, time.monotonic)
        except (CannotStart, NodeUnfit):
            self.sandbox.remove()
            raise
        if wait:
            self.end()

    def end(self) -> None:
        def over() -> bool:
            self.job.measure()
            return self.job.poll() is not None

        wait_until(over, "the job to end", state=lambda: self.out)
        self.outcome = self.job.clean_up()
        files, self.hold = self.sandbox.collect_outputs(self.task)
        # their bytes stay on the disk until they are asked for
        self.files = [SandboxFile(file.name, file.data, file.mode) for file in files]
        self.stdout, self.stderr = self.out, self.sandbox.read_stream(STDERR, 10**6)
        self.sandbox.remove()

    @property
    def out(self) -> bytes:
        return self.sandbox.read_stream(STDOUT, 10**6)
