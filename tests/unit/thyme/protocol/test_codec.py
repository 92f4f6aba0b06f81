"""Messages are bytes that say what was meant, or are refused by name; nothing else happens."""

import math
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fake_schedd import submission
from tests.support.sample_messages import example, messages, parts, put, texts
from thyme.errors import BadMessage, UnknownVersion
from thyme.protocol.codec import KINDS, decode, encode
from thyme.protocol.events import (
    Evicted,
    Finished,
    HoldReason,
    Marker,
    Message,
    NotCompleted,
    Submit,
    Usage,
    expect_kind,
)
from thyme.protocol.fields import MESSAGE_FIELDS, TASK_FIELDS
from thyme.protocol.job import JobId, SandboxFile, Task
from thyme.protocol.mail import ClaimReply, Heartbeat, Waiting

# --- every message there can be --------------------------------------------------------------


def test_every_field_of_every_kind_has_a_rule() -> None:
    for kind in KINDS.values():
        assert {each.name for each in fields(kind)} <= {*MESSAGE_FIELDS, "task", "event"}
    assert [each.name for each in fields(Task)] == list(TASK_FIELDS)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_message_comes_out_as_it_went_in(kind: type[Message]) -> None:
    @given(messages(kind))
    @settings(max_examples=60, deadline=None)
    def check(message: Message) -> None:
        assert decode(encode(message)) == message

    check()


# --- fields that are missing or wrong --------------------------------------------------------

#: values that no field takes: each JSON type that the field is not of is among them
WRONG = {
    "text": "\ud800", "empty": "", "list": [[]], "object": {"at": -1}, "nan": math.nan,
    "huge": 10**400, "negative": -(2**70), "fraction": 0.5,
}  # fmt: skip


CASES = [(kind, each.name) for kind in KINDS.values() for each in fields(kind)]
IDS = [f"{kind.kind}-{name}" for kind, name in CASES]


@pytest.mark.parametrize(("kind", "name"), CASES, ids=IDS)
def test_a_missing_field_is_named_with_its_kind(kind: type[Message], name: str) -> None:
    header, rest = parts(example(kind))
    del header[name]

    with pytest.raises(BadMessage) as refused:
        decode(put(header, rest))

    assert str(refused.value) == f"{kind.kind}: field {name!r} is missing"


def test_a_usage_of_a_later_release_is_read() -> None:
    header, rest = parts(example(Heartbeat))
    sent = [1.5, 0.5, 9.0, 77, 50, 8, 89]

    message = decode(put({**header, "usage": [*sent, "new"]}, rest))

    assert expect_kind(message, Heartbeat).usage == Usage(1.5, 0.5, 9.0, 77, 50, 8, 89)
    with pytest.raises(BadMessage, match=r"^heartbeat: field 'usage' should be \[user CPU"):
        decode(put({**header, "usage": sent[:-1]}, rest))


@pytest.mark.parametrize("bad", [{"cpus": -1}, {"arch": ""}, {"memory": None}, {"load": -0.1}])
def test_a_machine_that_is_none_is_not_believed(bad: dict[str, object]) -> None:
    header, rest = parts(example(Waiting))
    machine = header["machine"]
    assert isinstance(machine, dict)

    assert decode(put({**header, "machine": {**machine, "gpus": 2}}, rest)) == example(Waiting)
    with pytest.raises(BadMessage, match=r"^waiting: field 'machine' should be a machine, "):
        decode(put({**header, "machine": {**machine, **bad}}, rest))


@pytest.mark.parametrize(("kind", "name"), CASES, ids=IDS)
def test_an_ill_typed_field_is_named_with_its_kind(kind: type[Message], name: str) -> None:
    header, rest = parts(example(kind))
    refusals = []
    for wrong in WRONG.values():
        try:
            decode(put({**header, name: wrong}, rest))
        except BadMessage as error:
            refusals.append(str(error))

    assert len(refusals) >= 4
    for text in refusals:
        # a task that lacks its own fields names those
        named = (f"{kind.kind}: field {name!r} should be ", f"{kind.kind}: {name}: field ")
        assert text.startswith(named)


@pytest.mark.parametrize("name", TASK_FIELDS)
def test_a_bad_field_of_a_task_is_named_with_task_and_kind(name: str) -> None:
    header, rest = parts(submission())
    task = header["task"]
    assert isinstance(task, dict)

    with pytest.raises(BadMessage, match=rf"^submit: task: field '{name}' should be "):
        decode(put({**header, "task": {**task, name: 17.5 + 1e301}}, rest))
    with pytest.raises(BadMessage, match=rf"^submit: task: field '{name}' is missing"):
        decode(put({**header, "task": {k: v for k, v in task.items() if k != name}}, rest))


@pytest.mark.parametrize(("kind", "name"), CASES, ids=IDS)
def test_an_ill_typed_field_is_not_sent_either(kind: type[Message], name: str) -> None:
    with pytest.raises(BadMessage, match=f"^{kind.kind}: field '{name}' should be "):
        encode(replace(example(kind), **{name: object()}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("executable", ""), ("executable", "a\0b"), ("output_files", ("",)),
        ("output_files", ("a\0",)), ("stdin", "\0"), ("kill_signal", 65), ("kill_signal", -1),
        ("kill_grace", -1.0), ("kill_grace", math.inf), ("lease", -0.1), ("max_stream", -1),
        ("max_output", 2**63), ("files", (SandboxFile("../a", b""),)),
        ("files", (SandboxFile("/a", b""),)), ("files", (SandboxFile("a//b", b""),)),
        ("files", (SandboxFile(".", b""),)), ("files", (SandboxFile("a/..", b""),)),
        ("files", (SandboxFile("a\0", b""),)), ("files", (SandboxFile("", b""),)),
    ],
)  # fmt: skip
def test_a_task_that_no_node_could_run_is_not_sent(name: str, value: object) -> None:
    with pytest.raises(BadMessage, match=f"^submit: task: field '{name}' should be "):
        encode(submission(replace(Task("x"), **{name: value})))


@pytest.mark.parametrize("name", ["two\nlines", "nul\0", "half \ud800", "x" * 256, ""])
def test_a_name_that_a_broker_could_not_hold_is_refused(name: str) -> None:
    with pytest.raises(BadMessage, match="marker: field 'token' should be a name"):
        encode(Marker("vobox", name, 1))


@pytest.mark.parametrize(
    "kind",
    [each for each in KINDS.values() if {"reason", "hold"} & {one.name for one in fields(each)}],
)
@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (b"x" * 1_000_000, "x" * 4093 + "..."),
        # a terminal's title, CSI of C1, a carriage return; line ends and tabs are HTCondor's, too
        (rb"\u001b]0;owned\u0007 \u009b31m\ra\tb\nc\u007f \u00e4", " ]0;owned   31m a\tb\nc  ä"),
    ],
)
def test_a_reason_is_cut_and_harmless_whoever_sends_it(
    kind: type[Message], sent: bytes, read: str
) -> None:
    """It goes into the job's ad, its user log and the answers of condor_q."""
    named = {one.name for one in fields(kind)}
    changes = {"reason": "REASON"} if "reason" in named else {"hold": HoldReason(1, 2, "REASON")}
    body = encode(replace(example(kind), **changes))
    message = decode(body.replace(b"REASON", sent))
    hold = getattr(message, "hold", None)
    assert getattr(message, "reason", None if hold is None else hold.text) == read


def test_a_file_never_arrives_setuid() -> None:
    task = Task("x", files=(SandboxFile("x", b"", 0o6755),))

    message = expect_kind(decode(encode(submission(task))), Submit)

    assert message.task.files[0].mode == 0o755


def test_fields_of_a_later_program_are_left_alone() -> None:
    header, rest = parts(submission())

    assert decode(put({**header, "colour": "blue"}, rest)) == submission()


# --- what is not a message -------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\n", b"garbage", b"\xff\xfe\n", b"[1]\n", b"null\n", b"{}\n", b"7",
        b"[" * 100_000, b'{"thyme": ' + b"[" * 100_000, b"1" * 10_000,
    ],
)  # fmt: skip
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(BadMessage, match=r"^not a thyme message: "):
        decode(data)


@pytest.mark.parametrize("version", [0, 2, "1", None, [[[[[]]]]], "x" * 10**6])
def test_an_unknown_version_is_reported_with_ours_and_what_to_do(version: object) -> None:
    with pytest.raises(UnknownVersion) as refused:
        decode(put({"thyme": version, "kind": "submit"}))

    text = str(refused.value)
    assert text.startswith("message version ")
    assert "(this is 1); update thyme on this side" in text
    assert len(text) < 200


@pytest.mark.parametrize("kind", ["resign", "", None, 3, ["submit"], "x" * 10**6])
def test_an_unknown_kind_is_reported(kind: object) -> None:
    with pytest.raises(BadMessage, match=r"^unknown kind of message ") as refused:
        decode(put({"thyme": 1, "kind": kind}))

    assert len(str(refused.value)) < 200


def test_a_run_has_taken_as_many_seconds_as_it_can() -> None:
    """Others would fill the lines of a user log with hundreds of digits."""
    odd = Usage(1e299, -1e299, 5.0)
    beat = Heartbeat("s", JobId(1, 0), 0, "w", "h", odd, life="x")
    assert expect_kind(decode(encode(beat)), Heartbeat).usage == Usage(253402300800.0, 0.0, 5.0)


def test_sizes_have_64_bits_also_when_an_ad_rounds_them_up() -> None:
    most = Usage(1.0, 1.0, 1.0, *[2**63 - 1] * 4)
    beat = Heartbeat("s", JobId(1, 0), 0, "w", "h", most, life="x")
    read = expect_kind(decode(encode(beat)), Heartbeat).usage
    assert read == Usage(1.0, 1.0, 1.0, *[2**60] * 4)


@pytest.mark.parametrize("kind", [Finished, Evicted, NotCompleted])
@pytest.mark.parametrize("number", [0, 65, 2**40])
def test_no_program_ends_by_a_signal_that_there_is_not(kind: type[Message], number: int) -> None:
    header, rest = parts(example(kind))
    with pytest.raises(BadMessage, match=r"field 'signal' should be a signal, 1 to 64$"):
        decode(put({**header, "signal": number}, rest))


@pytest.mark.parametrize("since", [1e299, -1.0])
def test_no_worker_waits_since_a_time_that_no_calendar_has(since: float) -> None:
    header, rest = parts(example(Waiting))
    with pytest.raises(BadMessage, match="field 'since' should be a time in seconds since 1970"):
        decode(put({**header, "since": since}, rest))


def test_an_unexpected_kind_is_reported() -> None:
    with pytest.raises(BadMessage, match=r"^expected a claim_reply message, not submit$"):
        expect_kind(submission(), ClaimReply)


def or_filled(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return inner | st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)


json_values = or_filled(or_filled(st.none() | st.booleans() | st.integers() | st.floats() | texts))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_any_json_in_any_field_is_a_message_or_refused(kind: type[Message]) -> None:
    header, rest = parts(example(kind))

    @given(st.sampled_from(sorted(header)), json_values, st.binary(max_size=9))
    @settings(max_examples=60, deadline=None)
    def check(name: str, value: object, tail: bytes) -> None:
        try:
            message = decode(put({**header, name: value}, rest + tail))
        except BadMessage as error:
            assert "\n" not in str(error)
        else:
            assert encode(message)  # what we believe, we could send

    check()
