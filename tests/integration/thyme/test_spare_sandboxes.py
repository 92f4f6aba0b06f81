"""Real jobs of one worker, one after the other: what the next finds of the last."""

from pathlib import Path

import pytest

from tests.support.fake_broker import FakeBroker
from tests.support.fake_schedd import FakeSchedd, submission
from thyme.protocol.codec import encode
from thyme.protocol.events import Finished
from thyme.protocol.job import Task
from thyme.worker.shutdown import Shutdown
from thyme.worker.worker import Worker, WorkerSettings

POOL = "pool"
pytestmark = pytest.mark.own_process


class Workshop:
    """A real worker with real jobs, one after the other, round a broker in memory."""

    def __init__(self, workdir: Path) -> None:
        self.broker = FakeBroker()
        FakeSchedd(self.broker)
        self.workdir = workdir

    def run(self, *scripts: str, max_jobs: int = 0) -> list[str]:
        """Run the scripts as jobs; return the standard output of each."""
        jobs = [
            submission(Task("/bin/sh", ("-c", script)), f"1.{number}")
            for number, script in enumerate(scripts)
        ]
        self.broker.submit(POOL, [encode(job) for job in jobs])
        settings = WorkerSettings(POOL, self.workdir, timeout=0.0, max_jobs=max_jobs, user="self")
        Worker(settings, self.broker.connect, Shutdown()).run()
        assert list(self.workdir.iterdir()) == []
        finished = [m for m in self.broker.messages() if isinstance(m, Finished)]
        return [m.stdout.decode() for m in finished]


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def test_jobs_that_leave_nothing_share_a_directory_and_not_what_they_wrote(
    workshop: Workshop,
) -> None:
    said = workshop.run(*["stat -c %i . ; ls; cat _condor_stdout | wc -l"] * 3)

    assert len(said) == 3
    assert len(set(said)) == 1
    assert said[0].splitlines()[1:] == ["_condor_stderr", "_condor_stdout", "3"]


def test_after_a_job_that_left_something_the_next_gets_another_directory(
    workshop: Workshop,
) -> None:
    said = workshop.run("touch left; mkdir -p a/b; ls", "ls")

    assert said[1] == "_condor_stderr\n_condor_stdout\n"


def test_a_job_that_removed_its_directory_does_not_harm_the_next(workshop: Workshop) -> None:
    said = workshop.run('rm -rf "$_CONDOR_SCRATCH_DIR"; echo one', "echo two; ls")
    assert said == ["one\n", "two\n_condor_stderr\n_condor_stdout\n"]
