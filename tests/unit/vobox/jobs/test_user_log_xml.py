"""HTCondor's own reader finds the same in the XML form of an event as in its text."""

from pathlib import Path

import htcondor2
import pytest

from tests.support.schedd_parts import NOW, USAGE, Events, ad_of
from thyme.protocol.events import HoldReason, Machine, Usage
from thyme.protocol.job import JobId
from vobox.client.log_attributes import read_event
from vobox.jobs import user_log_events
from vobox.jobs.user_log_xml import convert_to_xml

JOB = JobId(38, 2)
MACHINE = Machine(4, 2000, 10**6, "X86_64", "LINUX", "Debian12")
ODD = 'a < b & "c\\d" > e'
RESOURCES = ad_of(
    JOB, RequestCpus=1, RequestMemory=128, CpusProvisioned=4, MemoryProvisioned=2000,
    JobCurrentStartDate=int(NOW), BytesSent=5.0,
)  # fmt: skip
TEXTS = {
    "submit": user_log_events.format_submit(JOB, NOW, ad_of(JOB)),
    "notes": user_log_events.format_submit(
        JOB, NOW, ad_of(JOB, SubmitEventNotes=ODD, SubmitEventUserNotes="u")
    ),
    "attributes": user_log_events.format_submit(
        JOB, NOW, ad_of(JOB, JobBatchName=ODD, SubmitEventNotesAttrs="JobPrio", JobPrio=-5)
    ),
    "execute": user_log_events.format_execute(JOB, NOW, "slot1_7@node"),
    "offered": user_log_events.format_execute(JOB, NOW, "slot1_7@node", MACHINE),
    "evicted": user_log_events.format_evicted(JOB, NOW, USAGE, HoldReason(1013, 0, ODD), RESOURCES),
    "lost": user_log_events.format_evicted(
        JOB, NOW, Usage(), HoldReason(1008, 0, "no news"), ad_of(JOB)
    ),
    "terminated": user_log_events.format_terminated(JOB, Events(JOB).finished(code=3), RESOURCES),
    "killed": user_log_events.format_terminated(
        JOB, Events(JOB).finished(code=None, signal=9), RESOURCES
    ),
    "aborted": user_log_events.format_aborted(JOB, NOW, ODD),
    "held": user_log_events.format_held(
        JOB, NOW, ad_of(JOB, HoldReason=ODD, HoldReasonCode=3, HoldReasonSubCode=-5)
    ),
    "released": user_log_events.format_released(JOB, NOW, ODD),
    "size": user_log_events.format_image_size(JOB, NOW, 7404),
    "suspended": user_log_events.format_suspended(JOB, NOW),
    "unsuspended": user_log_events.format_unsuspended(JOB, NOW),
    "error": user_log_events.format_remote_error(
        JOB, NOW, "slot1_7@node", HoldReason(6, 2, "Failed to execute '/nope'")
    ),
    "update": user_log_events.format_attribute_update(JOB, NOW, "JobPrio", "0", "5"),
}


def read(path: Path, text: str) -> list[dict[str, object]]:
    path.write_text(text)
    log = htcondor2.JobEventLog(str(path))
    try:
        return [dict(event) for event in log.events(stop_after=0)]
    finally:
        log.close()


@pytest.mark.parametrize(
    "reason",
    [
        "\t   Cpus: 11111111 yyyyyyyy zzzzzzzzz",
        "\t   Cpus   :        7        7         7",
        "\t\tUsr 1, Sys 2  -  Run Remote Usage",
        "\t9  -  Run Bytes Sent By Job",
        "\t(1) Normal termination (return value 7)",
    ],
)
def test_a_reason_that_looks_like_a_part_of_the_event_is_a_reason(reason: str) -> None:
    plain, odd = (
        read_event(
            user_log_events.format_evicted(JOB, NOW, USAGE, HoldReason(1013, 0, text), RESOURCES)
        )
        for text in ("plain", reason)
    )
    assert plain and odd == {**plain, "Reason": reason}


@pytest.mark.parametrize(
    "notes",
    ["a" * 1_000_000, f"[ a = {'9' * 5000} ]", 'a = "' * 200_000],
    ids=["one word", "a number", "open strings"],
)
def test_long_notes_are_notes(notes: str) -> None:
    # not in the square of its length, which would take hours
    event = read_event(user_log_events.format_submit(JOB, NOW, ad_of(JOB, SubmitEventNotes=notes)))
    assert event and event["LogNotes"] == notes
    assert "StructuredNotes" not in event


@pytest.mark.parametrize(
    ("reason", "written"),
    [
        ("é <&> €", r"\303\251 &lt;&amp;&gt; \342\202\254"),
        ("tab\tx", r"tab\tx"),
        (r"back\slash \n x", r"back\\slash \\n x"),
        ("control \x01 \x7f", r"control \001 \177"),
        ('it\'s "so"', 'it\'s "so"'),
    ],
)
def test_texts_are_escaped_as_htcondor_does(reason: str, written: str, tmp_path: Path) -> None:
    # recorded from HTCondor 25.14.1, but the double quotes, which its condor_hold loses
    event = convert_to_xml(user_log_events.format_aborted(JOB, NOW, reason))

    assert f'<a n="Reason"><s>{written}</s></a>' in event
    (found,) = read(tmp_path / "xml", event)
    assert found["Reason"] == reason


def test_no_bytes_are_written_as_htcondor_does() -> None:
    assert '<a n="SentBytes"><r>0.0</r></a>' in convert_to_xml(TEXTS["lost"])


@pytest.mark.parametrize("name", TEXTS)
def test_both_forms_say_the_same(name: str, tmp_path: Path) -> None:
    (wanted,) = read(tmp_path / "text", TEXTS[name])
    found, after = read(tmp_path / "xml", convert_to_xml(TEXTS[name]) * 2)
    assert found == after
    # the reader of one of the two forms leaves these out
    for each in ("PriorValue", "ReasonSubCode", "TimeExecuteUsage", "TimeSlotBusyUsage"):
        wanted.pop(each, None), found.pop(each, None)
    assert found == wanted
