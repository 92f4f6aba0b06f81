"""The user log's text, read back by HTCondor's own reader."""

from dataclasses import replace
from pathlib import Path

import htcondor2
import pytest

from tests.support.schedd_parts import (
    NOW,
    USAGE,
    Events,
    Expression,
    ad_of,
    job_after,
    transition_after,
)
from thyme.protocol.events import Edited, HoldReason, JobMessage, Usage
from thyme.protocol.job import JobId, SandboxFile
from vobox.classad.ad import Ad
from vobox.jobs import user_log_events
from vobox.jobs.job import LogEvent
from vobox.jobs.policy import check_on_exit
from vobox.jobs.transitions import apply

BIG = JobId(12345, 1234)


def ended(job: JobId = BIG, code: int | None = 3, signal: int | None = None) -> str:
    event = Events(job, now=NOW + 9).finished(code=code, signal=signal, stdout=b"12345")
    ad = ad_of(job, CumulativeRemoteUserCpu=90061.5, CumulativeRemoteSysCpu=2.0, BytesSent=5.0)
    return user_log_events.format_terminated(job, event, ad)


def cause(text: str, code: int = 0) -> HoldReason:
    return HoldReason(code, 0, text)


def held_ad(reason: str) -> Ad:
    return ad_of(HoldReason=reason, HoldReasonCode=3, HoldReasonSubCode=55)


def whole_life(job: JobId) -> str:
    return "".join(
        [
            user_log_events.format_submit(job, NOW, ad_of(job, JobBatchName="my batch")),
            user_log_events.format_execute(job, NOW + 1, "slot1_77@node7"),
            user_log_events.format_evicted(job, NOW + 2, USAGE, cause("pilot evicted"), ad_of(job)),
            user_log_events.format_execute(job, NOW + 3, "slot1_78@node8"),
            user_log_events.format_image_size(job, NOW + 3, 125000),
            user_log_events.format_suspended(job, NOW + 3),
            user_log_events.format_unsuspended(job, NOW + 3),
            user_log_events.format_evicted(
                job, NOW + 4, Usage(), cause("no news for 300 s", 1008), ad_of(job)
            ),
            user_log_events.format_held(job, NOW + 5, held_ad("first line\nsecond\r\nthird")),
            user_log_events.format_released(job, NOW + 6, "via condor_release (by user games)"),
            ended(job),
        ]
    )


def read(path: Path) -> list[htcondor2.JobEvent]:
    log = htcondor2.JobEventLog(str(path))
    try:
        return list(log.events(stop_after=0))
    finally:
        log.close()


def test_htcondors_own_reader_reads_every_event(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(
        whole_life(JobId(38, 0))
        + user_log_events.format_aborted(BIG, NOW, "via condor_rm (by user games)")
    )

    events = read(path)

    kinds = htcondor2.JobEventType
    assert [event.type for event in events] == [
        kinds.SUBMIT, kinds.EXECUTE, kinds.JOB_EVICTED, kinds.EXECUTE,
        kinds.IMAGE_SIZE, kinds.JOB_SUSPENDED, kinds.JOB_UNSUSPENDED, kinds.JOB_EVICTED,
        kinds.JOB_HELD, kinds.JOB_RELEASED, kinds.JOB_TERMINATED, kinds.JOB_ABORTED,
    ]  # fmt: skip
    assert {(e.cluster, e.proc) for e in events[:-1]} == {(38, 0)}
    assert (events[-1].cluster, events[-1].proc) == (12345, 1234)
    assert events[0].timestamp == int(NOW)
    size, suspended = events[4], events[5]
    assert (size["Size"], size["MemoryUsage"], size["ResidentSetSize"]) == (125000, 123, 125000)
    assert suspended["NumberOfPIDs"] == 1
    hold = events[8]
    assert (hold["HoldReasonCode"], hold["HoldReasonSubCode"]) == (3, 55)
    assert hold["HoldReason"] == "first line|second|third"
    assert events[10]["ReturnValue"] == 3 and events[10]["TerminatedNormally"] is True


@pytest.mark.parametrize(
    ("code", "signal", "termination"),
    [
        (1, None, "\t(1) Normal termination (return value 1)\n"),
        (None, 9, "\t(0) Abnormal termination (signal 9)\n\t(0) No core file\n"),
    ],
)
def test_htcondors_own_reader_reads_on_after_a_run_that_is_queued_again(
    tmp_path: Path, code: int | None, signal: int | None, termination: str
) -> None:
    path = tmp_path / "log"
    e = Events(JobId(38, 0), attributes={"OnExitRemove": Expression("ExitCode =?= 0")})
    finished = e.finished(code=code, signal=signal, stdout=b"12345")
    ended_job = job_after(e.submit(), e.started(), finished)
    reason = check_on_exit(ended_job.ad, NOW).reason
    transition = apply(ended_job, e.not_completed(None, reason, code, signal))
    text = "".join(each.text for each in transition.effects if isinstance(each, LogEvent))
    path.write_text(text + ended())

    requeued, terminated = read(path)

    # as HTCondor 25.14.0 writes it
    assert text.partition(" Job was")[2] == (
        " evicted.\n\t(0) Job terminated and was requeued\n"
        "\t\tUsr 0 00:00:01, Sys 0 00:00:00  -  Run Remote Usage\n"
        "\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  Run Local Usage\n"
        "\t5  -  Run Bytes Sent By Job\n\t0  -  Run Bytes Received By Job\n"
        f"{termination}"
        "\tThe job attribute OnExitRemove expression 'ExitCode =?= 0' evaluated to FALSE\n...\n"
    )
    assert requeued["TerminatedAndRequeued"] is True
    assert requeued.get("ReturnValue") == code and requeued.get("TerminatedBySignal") == signal
    assert terminated["ReturnValue"] == 3


def test_a_core_file_is_named_where_it_is_delivered(tmp_path: Path) -> None:
    e = Events(JobId(17, 0))
    core = (SandboxFile("core.17.0", b"dump"),)
    died = e.finished(code=None, signal=6, files=core)
    ad = job_after(e.submit(), e.started(), died).ad
    text = user_log_events.format_terminated(e.job, died, ad)
    (tmp_path / "log").write_text(text)
    (event,) = read(tmp_path / "log")
    assert event["CoreFile"] == "/home/games/core.17.0"
    assert (ad["JobCoreDumped"], ad.text("JobCoreFileName")) == ("true", event["CoreFile"])
    # as HTCondor 25.14.1 writes it
    assert (
        "\t(0) Abnormal termination (signal 6)\n\t(1) Corefile in: /home/games/core.17.0\n" in text
    )


def test_the_totals_of_a_job_count_all_its_runs() -> None:
    e = Events()
    used = replace(USAGE, received=47560)
    again = replace(e.finished("w2", 1, stdout=b"12345"), usage=used)
    evicted = e.evicted(reason="vacated", usage=used)
    ad = job_after(e.submit(), e.started(), evicted, e.submit(1), e.started("w2", 1), again).ad
    assert (ad["BytesRecvd"], ad["BytesSent"]) == ("95120.0", "5.0")
    text = user_log_events.format_terminated(e.job, again, ad)
    assert "\t5  -  Run Bytes Sent By Job\n\t47560  -  Run Bytes Received By Job\n" in text
    assert "\t5  -  Total Bytes Sent By Job\n\t95120  -  Total Bytes Received By Job\n" in text


def test_an_eviction_says_what_the_run_used_and_had() -> None:
    used = Usage(0.04, 0.02, 5.5, 200_000, 0, 62, 47560)
    ad = ad_of(
        JobId(15, 0), RequestCpus=1, RequestMemory=128, RequestDisk=1048576, CpusProvisioned=1,
        DiskProvisioned=1048576, MemoryProvisioned=256, JobCurrentStartDate=int(NOW) - 6,
    )  # fmt: skip
    vacated = HoldReason(1022, 0, "Job vacated by schedd")
    # HTCondor 25.14.1's event, without the row of GPUs, which pilots do not assign
    assert user_log_events.format_evicted(JobId(15, 0), NOW, used, vacated, ad) == (
        "004 (015.000.000) 2026-11-22 13:25:12 Job was evicted. Code 1022 Subcode 0\n"
        "\t(0) CPU times\n"
        "\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  Run Remote Usage\n"
        "\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  Run Local Usage\n"
        "\t0  -  Run Bytes Sent By Job\n"
        "\t47560  -  Run Bytes Received By Job\n"
        "\tReason: Job vacated by schedd\n"
        "\tPartitionable Resources :    Usage  Request Allocated \n"
        "\t   Cpus                 :     0.01        1         1 \n"
        "\t   Disk (KB)            :       62  1048576   1048576 \n"
        "\t   Memory (MB)          :      196      128       256 \n"
        "\t   TimeExecute (s)      :        5                    \n"
        "\t   TimeSlotBusy (s)     :        6                    \n"
        "...\n"
    )


def test_a_vacated_run_has_htcondors_code_and_reason(tmp_path: Path) -> None:
    path = tmp_path / "log"
    e = Events(JobId(38, 0))
    change = transition_after(e.submit(), e.started(), e.evicted(reason="vacated"))
    path.write_text("".join(each.text for each in change.effects if isinstance(each, LogEvent)))
    (event,) = read(path)
    assert path.read_text().splitlines()[0].endswith("Job was evicted. Code 1022 Subcode 0")
    assert event["Reason"] == "Job vacated by schedd"


def log_of(tmp_path: Path, *events: JobMessage) -> list[htcondor2.JobEvent]:
    """Return what HTCondor's reader finds of the last of these events."""
    path = tmp_path / "log"
    effects = transition_after(*events).effects
    path.write_text("".join(each.text for each in effects if isinstance(each, LogEvent)))
    return read(path)


def test_a_running_job_that_is_removed_or_held_is_evicted_first(tmp_path: Path) -> None:
    e = Events(JobId(38, 0))
    running = e.submit(), e.started()
    kinds = htcondor2.JobEventType

    evicted, aborted = log_of(tmp_path, *running, e.removed())
    assert (evicted.type, aborted.type) == (kinds.JOB_EVICTED, kinds.JOB_ABORTED)
    assert evicted["Reason"] == aborted["Reason"] == "via condor_rm (by user games)"
    assert evicted["ReasonCode"] == 1023

    evicted, held = log_of(tmp_path, *running, e.held(3, 7, "too long"))
    assert (evicted.type, held.type) == (kinds.JOB_EVICTED, kinds.JOB_HELD)
    assert (evicted["ReasonCode"], evicted["ReasonSubCode"], evicted["Reason"]) == (
        3,
        7,
        "too long",
    )


def test_a_job_that_could_not_be_started_is_an_error_of_the_starter_first(tmp_path: Path) -> None:
    e = Events(JobId(38, 0))
    hold = HoldReason(6, 2, "Error from slot1_1@w1: Failed to execute '/nope'")
    _size, error, evicted, held = log_of(
        tmp_path, e.submit(), e.started(), e.finished(code=None, hold=hold)
    )

    kinds = htcondor2.JobEventType
    assert [each.type for each in (error, evicted, held)] == [
        kinds.REMOTE_ERROR, kinds.JOB_EVICTED, kinds.JOB_HELD,
    ]  # fmt: skip
    assert (error["HoldReasonCode"], error["HoldReasonSubCode"]) == (6, 2)
    assert (error["Daemon"], error["ExecuteHost"]) == ("starter", "slot1_1@w1")
    assert error["ErrorMsg"].strip() == "Failed to execute '/nope'"
    assert evicted["Reason"] == held["HoldReason"] == hold.text


def test_a_new_priority_is_logged(tmp_path: Path) -> None:
    e = Events(JobId(38, 0), attributes={"JobPrio": 0})
    first = e.submit()
    edited = Edited(first.schedd, first.job, NOW, {"JobPrio": "5", "Other": "1"})
    (event,) = log_of(tmp_path, first, edited)

    assert event.type == htcondor2.JobEventType.ATTRIBUTE_UPDATE
    assert (event["Attribute"], event["Value"]) == ("JobPrio", "5")


def test_an_ended_job_says_what_it_used_asked_for_and_was_given(tmp_path: Path) -> None:
    event = Events(BIG, now=NOW + 9).finished(code=0)
    ad = ad_of(
        BIG, RequestCpus=1, RequestMemory=128, RequestDisk=Expression("DiskUsage"),
        CpusProvisioned=4, MemoryProvisioned=2000, DiskProvisioned=10**6,
        JobCurrentStartDate=int(NOW), DiskUsage=75,
    )  # fmt: skip
    path = tmp_path / "log"
    path.write_text(user_log_events.format_terminated(BIG, event, ad))

    (read_back,) = read(path)
    assert path.read_text().splitlines()[-7:-1] == [
        "\tPartitionable Resources :    Usage  Request Allocated ",
        "\t   Cpus                 :     0.20        1         4 ",
        "\t   Disk (KB)            :                75   1000000 ",
        "\t   Memory (MB)          :        2      128      2000 ",
        "\t   TimeExecute (s)      :       10                    ",
        "\t   TimeSlotBusy (s)     :       10                    ",
    ]
    assert (read_back["CpusUsage"], read_back["RequestCpus"], read_back["Cpus"]) == (0.2, 1, 4)
    assert (read_back["MemoryUsage"], read_back["RequestMemory"], read_back["Memory"]) == (
        2, 128, 2000,
    )  # fmt: skip


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\x0bb\x0cc", "a\u2028b", "...", "\n...\n"])
def test_no_reason_can_end_or_forge_an_event(text: str) -> None:
    for event in (
        user_log_events.format_aborted(BIG, NOW, text),
        user_log_events.format_held(BIG, NOW, held_ad(text)),
        user_log_events.format_released(BIG, NOW, text),
        user_log_events.format_evicted(BIG, NOW, Usage(), cause(text), ad_of(BIG)),
        user_log_events.format_submit(BIG, NOW, ad_of(JobBatchName=text)),
        user_log_events.format_execute(BIG, NOW, f"slot1@{text}"),
    ):
        assert event.splitlines().count("...") == 1 and event.endswith("\n...\n"), event


def test_a_batch_name_is_a_note_of_the_submit_event() -> None:
    event = user_log_events.format_submit(BIG, NOW, ad_of(JobBatchName='my "batch"'))
    assert event.splitlines()[1] == r'    [ JobBatchName = "my \"batch\"" ]'


@pytest.mark.parametrize(
    ("attributes", "lines"),
    [
        ({"SubmitEventNotes": "DAG Node: A"}, ["DAG Node: A"]),
        ({"SubmitEventNotes": "", "SubmitEventUserNotes": "hi"}, ["hi"]),
        ({"SubmitEventNotes": "n", "SubmitEventUserNotes": "hi"}, ["n", "hi"]),
        ({"SubmitEventNotes": "n", "JobBatchName": "b"}, ['[ JobBatchName = "b" ]']),
        ({"SubmitEventNotesAttrs": "Nosuch", "SubmitEventNotes": "n"}, ["n"]),
        ({"SubmitEventNotesAttrs": "Cmd, JobStatus,Nosuch", "JobBatchName": "b"},
         ['[ Cmd = "/bin/sh"; JobStatus = 1; JobBatchName = "b" ]']),
        ({"SubmitEventNotesAttrs": "cmd Cmd CMD JobBatchName cmd", "JobBatchName": "b"},
         ['[ cmd = "/bin/sh"; JobBatchName = "b" ]']),
        ({"SubmitEventNotes": "a\n...\nb"}, ["a|...|b"]),
    ],
)  # fmt: skip
def test_notes_of_the_description_are_in_the_submit_event(
    attributes: dict[str, str], lines: list[str]
) -> None:
    # as HTCondor 25.14.1 writes them
    event = user_log_events.format_submit(BIG, NOW, ad_of(**attributes))
    assert event.splitlines()[1:-1] == [f"    {line}" for line in lines]
