"""How large a message may be, and what one that lies about its sizes comes to."""

import random
import zlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.sample_messages import example, parts, put
from thyme.errors import BadMessage, MessageTooLarge
from thyme.protocol.blobs import MAX_INFLATED
from thyme.protocol.codec import MAX_SIZE, decode, encode
from thyme.protocol.events import Finished


def incompressible(size: int) -> bytes:
    return random.Random(7).randbytes(size)


def result(**changes: object) -> Finished:
    message = example(Finished)
    assert isinstance(message, Finished)
    return replace(message, **changes)


def test_a_message_too_large_says_both_sizes() -> None:
    with pytest.raises(MessageTooLarge) as refused:
        encode(result(stdout=incompressible(MAX_SIZE)))

    words = str(refused.value).split()
    sizes = [int(word) for word in words if word.isdigit()]
    assert sizes[1] == MAX_SIZE == 16777216
    assert MAX_SIZE < sizes[0] < MAX_SIZE + 1000


def test_the_largest_message_fits() -> None:
    message = result(stdout=incompressible(MAX_SIZE - 1000))

    assert decode(encode(message)) == message


def test_bytes_over_the_limit_are_refused_unread() -> None:
    with pytest.raises(MessageTooLarge, match="16777217 bytes; the limit is 16777216"):
        decode(b" " * (MAX_SIZE + 1))


def test_a_message_over_the_inflated_limit_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thyme.protocol.blobs.MAX_INFLATED", 1000)

    message = result(stdout=b"x" * 900, stderr=b"x" * 101, files=())

    with pytest.raises(MessageTooLarge, match="1001 bytes of files and output; the limit is 1000"):
        encode(message)


def bomb(raw: int, claimed: int) -> bytes:
    stored = zlib.compress(b"\0" * raw, 9)
    header, _ = parts(result())
    header["stdout"] = {"at": 0, "size": len(stored), "raw": claimed}
    header["stderr"] = {"at": 0, "size": 0}
    header["files"] = []
    return put(header, stored)


def test_a_bomb_that_says_its_size_is_refused_before_it_is_inflated() -> None:
    with pytest.raises(BadMessage, match=f"'stdout' should be less than {MAX_INFLATED} bytes"):
        decode(bomb(1000, MAX_INFLATED + 1))


def test_a_bomb_that_lies_about_its_size_is_inflated_no_further() -> None:
    with pytest.raises(BadMessage, match="'stdout' should be bytes of the length that it gives"):
        decode(bomb(50_000_000, 10))


def test_many_small_bombs_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thyme.protocol.blobs.MAX_INFLATED", 2500)
    stored = zlib.compress(b"\0" * 1000, 9)
    header, _ = parts(result())
    place = {"at": 0, "size": len(stored), "raw": 1000}
    header["stdout"] = {"at": 0, "size": 0}
    header["files"] = [
        {"name": "a", "mode": 0, "data": {**place, "at": at * len(stored)}} for at in range(3)
    ]

    with pytest.raises(BadMessage, match="field 'files' should be less than 2500 bytes"):
        decode(put(header, stored * 3))


@pytest.mark.parametrize("packed", [{}, {"raw": 1000}], ids=["as they are", "deflated"])
def test_the_same_bytes_cannot_be_named_twice(packed: dict[str, int]) -> None:
    stored = zlib.compress(b"\0" * 1000, 9) if packed else b"\0" * 1000
    header, _ = parts(result())
    place = {"at": 0, "size": len(stored), **packed}
    header["stdout"] = header["stderr"] = {"at": 0, "size": 0}
    header["files"] = [{"name": "a", "mode": 0, "data": place}] * 2

    with pytest.raises(BadMessage, match="field 'files' should be bytes that no other field has"):
        decode(put(header, stored))


def test_output_that_nobody_looks_into_is_not_inflated() -> None:
    whole = encode(result(stdout=b"x" * 1_000_000, stderr=b"abc"))
    odd = whole[:-200] + b"?" * 200

    read = decode(odd, with_files=False)

    assert isinstance(read, Finished) and read.stdout == bytes(1_000_000)
    with pytest.raises(BadMessage):
        decode(odd)


@pytest.mark.parametrize("time", [1e200, -1.0, 253402300800])
def test_a_time_without_a_date_is_refused(time: float) -> None:
    header, rest = parts(result())

    with pytest.raises(BadMessage, match="field 'time' should be a time in seconds since 1970"):
        decode(put({**header, "time": time}, rest))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_message_cut_short_is_refused(data: st.DataObject) -> None:
    whole = encode(result(stdout=b"abc" * 500, stderr=incompressible(400)))
    cut = data.draw(st.integers(0, len(whole) - 1))

    with pytest.raises(BadMessage):
        decode(whole[:cut])


@pytest.mark.parametrize("change", [{"at": 10**30}, {"size": -1}, {"raw": 2**62}, {"at": None}])
def test_a_place_outside_the_message_is_refused(change: dict[str, object]) -> None:
    header, rest = parts(result(stdout=b"abc" * 500))
    place = header["stdout"]
    assert isinstance(place, dict)

    with pytest.raises(BadMessage, match=r"^finished: field 'stdout' should be "):
        decode(put({**header, "stdout": {**place, **change}}, rest))


def test_output_of_one_letter_costs_little() -> None:
    assert len(encode(result(stdout=b"x" * 4_000_000))) < 30_000


def test_an_attempt_after_which_no_other_could_have_a_number_is_refused() -> None:
    header, rest = parts(result())

    with pytest.raises(
        BadMessage, match="'attempt' should be an attempt's number, at most 1000000"
    ):
        decode(put({**header, "attempt": 2**63 - 1}, rest))
