"""What condor_hold, condor_suspend and the like leave in a job, and what its worker hears."""

import pytest

from tests.support.fake_command_queue import Queue
from tests.support.schedd_parts import Events
from thyme.protocol import codec
from thyme.protocol.events import expect_kind
from thyme.protocol.job import JobId
from thyme.protocol.mail import Control
from vobox.rpc.types import Answer

# --- reasons ------------------------------------------------------------------------------------


def test_hold_and_release_leave_code_subcode_and_reasons(queue: Queue) -> None:
    queue.run("condor_hold", "5.0", "-subcode", "77")
    ad = queue.bench.job(JobId(5, 0)).ad
    assert (ad["HoldReasonCode"], ad["HoldReasonSubCode"]) == ("1", "77")
    queue.run("condor_release", "5.0", "-reason", "go on")
    ad = queue.bench.job(JobId(5, 0)).ad
    assert ad.text("ReleaseReason") == "go on (by user alice)"
    assert ad["LastHoldReasonSubCode"] == "77"


def test_a_reason_that_is_no_utf8_is_spelled_out(queue: Queue) -> None:
    queue.run("condor_hold", "5.0", "-reason", "caf\udce9")
    assert queue.reason("5.0", "HoldReason") == "caf\\udce9 (by user alice)"


def test_a_schedd_without_broker_does_nothing_and_says_so(queue: Queue) -> None:
    queue.down = "the schedd is not ready: no broker; try again"
    said = queue.run("condor_rm", "5.0", "6")
    assert said == Answer(
        "",
        f"DCSchedd::actOnJobs:6001:{queue.down}\nNo result found for job 5.0\n"
        f"DCSchedd::actOnJobs:6001:{queue.down}\nCouldn't find/remove all jobs in cluster 6\n",
        1,
    )


# --- running jobs -------------------------------------------------------------------------------


class W1:
    """The worker of job 5.0, as far as its mail."""

    def __init__(self, queue: Queue) -> None:
        self._line = queue.bench.broker.connect()
        self._line.open_inbox("w1")
        queue.start("5.0")

    def told(self) -> list[str]:
        """Return the actions that it was told since the last look, in order."""
        actions = []
        while (mail := self._line.receive()) is not None:
            actions.append(expect_kind(codec.decode(mail.body), Control).action)
        return actions


@pytest.fixture
def w1(queue: Queue) -> W1:
    return W1(queue)


def test_a_suspended_job_stands_still_until_it_is_continued(queue: Queue, w1: W1) -> None:
    assert queue.run("condor_suspend", "5.0") == Answer("Job 5.0 suspended\n", "", 0)
    job = queue.bench.job(JobId(5, 0))
    assert (job.status, job.ad["TotalSuspensions"], job.worker) == (7, "1", "w1")
    assert queue.run("condor_continue", "5") == Answer(
        "All jobs in cluster 5 have been continued\n", "", 0
    )
    assert queue.states()["5.0"] == 2
    assert w1.told() == ["suspend", "continue"]


def test_a_vacated_job_runs_until_its_worker_says_that_it_is_evicted(queue: Queue, w1: W1) -> None:
    assert queue.run("condor_vacate_job", "5.0") == Answer("Job 5.0 vacated\n", "", 0)
    assert queue.run("condor_vacate_job", "-fast", "5.0").stdout == "Job 5.0 fast-vacated\n"
    assert queue.states()["5.0"] == 2
    assert w1.told() == ["vacate", "vacate_fast"]
    queue.bench.record(Events(JobId(5, 0)).evicted(reason="vacated"))
    assert queue.states()["5.0"] == 1 and queue.bench.job(JobId(5, 0)).attempt == 1
