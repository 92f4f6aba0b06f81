"""Event 028 has what HTCondor writes for job_ad_information_attrs."""

from pathlib import Path

import htcondor2
import pytest

from tests.support.schedd_parts import NOW, Expression, ad_of
from thyme.protocol.job import JobId
from vobox.jobs import user_log_events
from vobox.jobs.job_ad_information import format_job_ad_information

JOB = JobId(72, 0)
WANTED = "JobStatus, Owner, NoSuch, ExitCode,HoldReason Args, RequestMemory, Requirements"
AD = ad_of(
    JOB, JobAdInformationAttrs=WANTED, Args="4", RequestMemory=128, JobBatchName="batch",
    Requirements=Expression('TARGET.Arch == "X86_64"'),
)  # fmt: skip
#: HTCondor 25.14.1's, with its address, owner and time replaced
SUBMIT = """\
028 (072.000.000) 2026-11-22 13:25:12 Job ad information event triggered.
Args = "4"
Cluster = 72
EventTime = "2026-11-22T13:25:12"
EventTypeNumber = 28
JobStatus = 1
MyType = "SubmitEvent"
Owner = "games"
Proc = 0
RequestMemory = 128
SubmitHost = "<vobox1.example.org:0>"
Subproc = 0
TriggerEventTypeName = "ULOG_SUBMIT"
TriggerEventTypeNumber = 0
...
"""


def test_a_submission_is_followed_by_what_htcondor_writes() -> None:
    ad = AD.copy()
    del ad["JobBatchName"]
    text = user_log_events.format_submit(JOB, NOW, ad)
    assert format_job_ad_information(text, ad) == SUBMIT


@pytest.mark.parametrize(
    ("text", "trigger"),
    [
        (user_log_events.format_held(JOB, NOW, ad_of(HoldReason="why")), "ULOG_JOB_HELD"),
        (user_log_events.format_aborted(JOB, NOW, 'via "x"'), "ULOG_JOB_ABORTED"),
        (user_log_events.format_image_size(JOB, NOW, 150), "ULOG_IMAGE_SIZE"),
        (user_log_events.format_submit(JOB, NOW, AD), "ULOG_SUBMIT"),
    ],
)
def test_htcondors_own_reader_reads_it(text: str, trigger: str, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(text + format_job_ad_information(text, AD) + text)
    log = htcondor2.JobEventLog(str(tmp_path / "log"))
    before, information, after = list(log.events(stop_after=0))
    assert information["TriggerEventTypeName"] == trigger
    assert information["TriggerEventTypeNumber"] == before.type == after.type
    assert (information["Owner"], information["RequestMemory"]) == ("games", 128)


def test_an_attribute_named_often_and_in_several_cases_is_written_once() -> None:
    # HTCondor's ads have it once, too
    ad = ad_of(JOB, JobAdInformationAttrs="args Args ARGS cluster " * 1000, Args="4")
    text = format_job_ad_information(user_log_events.format_submit(JOB, NOW, ad), ad)
    names = [line.split(" = ")[0].lower() for line in text.splitlines() if " = " in line]
    assert names == sorted(set(names))
    assert "args" in names


def test_a_job_that_asks_for_nothing_gets_none() -> None:
    assert format_job_ad_information(user_log_events.format_aborted(JOB, NOW, ""), ad_of()) == ""
    assert format_job_ad_information("no event", AD) == ""
