"""Messages that share most of what they say are the same bytes as if each were alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.sample_messages import VALUES, files, messages, texts
from thyme.errors import BadMessage, MessageTooLarge
from thyme.protocol.batch_encoder import Alike
from thyme.protocol.codec import encode
from thyme.protocol.events import Recorded, Submit
from thyme.protocol.job import JobId, SandboxFile, Task

FIRST = Submit(
    "s", JobId(7, 0), 1.5, "p", 1, 2, 0, {"Owner": '"games"', "ProcId": "0"}, Task("/bin/true")
)


@st.composite
def series(draw: st.DrawFn) -> list[Submit | Recorded]:
    """Each is one of those before it, or a new one, with a few things changed."""
    made: list[Submit | Recorded] = []
    for _ in range(draw(st.integers(1, 6))):
        new = messages(draw(st.sampled_from([Submit, Recorded])))
        message = draw(st.sampled_from(made) | new if made else new)
        assert isinstance(message, (Submit, Recorded))
        for name in draw(st.sets(st.sampled_from(["job", "time", "ad", "task", "pool"]))):
            message = replace(message, **{name: draw(VALUES[name])})
        if draw(st.booleans()):
            message = replace(message, ad={**message.ad, draw(texts): draw(texts)})
        if draw(st.booleans()):
            arguments = tuple(draw(st.lists(texts, max_size=2)))
            message = replace(message, task=replace(message.task, arguments=arguments))
        if draw(st.booleans()):
            message = replace(message, task=replace(message.task, files=draw(files)))
        made.append(message)
    return made


@given(series())
@settings(max_examples=300, deadline=None)
def test_each_is_the_same_bytes_as_alone(made: list[Submit | Recorded]) -> None:
    assert list(map(Alike().encode, made)) == [encode(each) for each in made]


def test_what_changes_and_changes_back_is_written_again() -> None:
    big, small = (SandboxFile("f", b"x" * 999),), (SandboxFile("f", b"y"),)
    made = [
        replace(FIRST, task=replace(FIRST.task, files=each)) for each in (big, small, (), big, big)
    ]

    assert list(map(Alike().encode, made)) == [encode(each) for each in made]


@pytest.mark.parametrize(
    "bad",
    [
        replace(FIRST, uid=True),
        replace(FIRST, ad={"Owner": '"games"', "ProcId": 0}),
        replace(FIRST, ad={"Owner": '"games"', 3: "0"}),
        replace(FIRST, ad=None),
        replace(FIRST, task=None),
        replace(FIRST, task=replace(FIRST.task, executable="")),
        replace(FIRST, task=replace(FIRST.task, files=("f",))),
        replace(FIRST, task=replace(FIRST.task, lease=-1.0)),
    ],
)
def test_a_wrong_one_among_them_is_refused_in_the_same_words(bad: Submit) -> None:
    with pytest.raises(BadMessage) as alone:
        encode(bad)
    with pytest.raises(BadMessage) as among:
        list(map(Alike().encode, [FIRST, bad]))

    assert str(among.value) == str(alone.value)


def test_one_that_is_too_large_is_refused() -> None:
    large = replace(FIRST, ad={"Owner": "x" * 17 * 1024**2, "ProcId": "0"})
    with pytest.raises(MessageTooLarge, match="the submit message would have"):
        list(map(Alike().encode, [FIRST, large]))
