"""A scratch directory with a job's files in it."""

from pathlib import Path

from thyme.protocol.job import SandboxFile, Task
from thyme.worker.sandbox import Sandbox


def filled(workdir: Path, *files: SandboxFile) -> Sandbox:
    sandbox = Sandbox(workdir)
    sandbox.unpack(Task("condor_exec.exe", files=files))
    return sandbox
