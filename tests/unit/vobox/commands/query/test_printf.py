"""The printf of ``-format`` against the C library's."""

import ctypes
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vobox.commands.query.printf import BadFormat, parse_format

C_LIBRARY = ctypes.CDLL(None)
FLAGS = st.text("-+ 0#", max_size=3)
WIDTH = st.sampled_from(["", "1", "5", "12", "30"])
PRECISION = st.sampled_from(["", ".", ".0", ".1", ".3", ".15"])


def in_c(form: str, value: object) -> str:
    buffer = ctypes.create_string_buffer(2048)
    C_LIBRARY.snprintf(buffer, len(buffer), form.encode(), value)
    return buffer.value.decode()


@given(FLAGS, WIDTH, PRECISION, st.sampled_from("diouxX"), st.integers(-(2**63), 2**63 - 1))
@settings(max_examples=500, deadline=None)
def test_integers(flags: str, width: str, precision: str, letter: str, value: int) -> None:
    start = f"a%%<%{flags}{width}{precision}"
    expected = in_c(f"{start}ll{letter}>", ctypes.c_longlong(value))
    assert parse_format(f"{start}ll{letter}>").format_integer(value) == expected
    assert parse_format(f"{start}ld>").format_integer(value) == in_c(
        f"{start}lld>", ctypes.c_longlong(value)
    )


@given(FLAGS, WIDTH, PRECISION, st.sampled_from("diouxX"), st.integers(-(2**31), 2**31 - 1))
@settings(max_examples=200, deadline=None)
def test_integers_of_32_bits(
    flags: str, width: str, precision: str, letter: str, value: int
) -> None:
    form = f"<%{flags}{width}{precision}{letter}>"
    assert parse_format(form).format_integer(value) == in_c(form, ctypes.c_int(value))


@pytest.mark.parametrize("letter", "diuxX")
def test_more_than_32_bits_are_printed_all_the_same(letter: str) -> None:
    whole = in_c(f"%ll{letter}", ctypes.c_longlong(2**40 + 1))
    assert parse_format(f"%{letter}").format_integer(2**40 + 1) == whole


@given(FLAGS, WIDTH, PRECISION, st.sampled_from("eEfFgG"), st.floats(allow_nan=False))
@settings(max_examples=500, deadline=None)
def test_reals(flags: str, width: str, precision: str, letter: str, value: float) -> None:
    form = f"<%{flags}{width}{precision}{letter}>%%"
    assert parse_format(form).format_real(value) == in_c(form, ctypes.c_double(value))


@given(st.sampled_from(["", "-"]), WIDTH, PRECISION, st.text("abc xyz"))
@settings(max_examples=200, deadline=None)
def test_strings(flags: str, width: str, precision: str, value: str) -> None:
    form = f"<%{flags}{width}{precision}s>"
    assert parse_format(form).format_text(value) == in_c(form, ctypes.c_char_p(value.encode()))


@pytest.mark.parametrize("form", ["<%12s>", "<%-12s>", "<%.3s>", "<%8.5s>", "<%3s>"])
def test_a_width_counts_bytes(form: str) -> None:
    assert parse_format(form).format_text("häß€") == in_c(form, ctypes.c_char_p("häß€".encode()))


@pytest.mark.parametrize(
    ("escaped", "plain"),
    [
        (r"\n\t\r\a\b\f\v", "\n\t\r\a\b\f\v"),
        (r"\"\'\?\\", "\"'?\\"),
        (r"\101\x41", "AA"),
        (r"\q", r"\q"),
    ],
)
def test_escapes(escaped: str, plain: str) -> None:
    assert parse_format(escaped).before == plain


@pytest.mark.parametrize("text", ["", "no conversion", "100%", "%", "%5", "%k", "%%", "50%% of %k"])
def test_a_text_without_conversion_stays_as_it_is(text: str) -> None:
    form = parse_format(text)
    assert (form.before, form.letter) == (text, "")


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        form = parse_format(text)
    except BadFormat:
        return
    form.format_text("x"), form.format_missing()
    if form.wants_real:
        form.format_real(5.0)
    elif form.letter and form.letter in "dioxXucCp":
        form.format_integer(5)


@pytest.mark.parametrize("end", ["d", "*d", "", "é", "%"])
def test_zeros_without_end_take_no_time(end: str) -> None:
    # a regular expression keeps all threads of the schedd waiting
    began = time.thread_time()
    try:
        parsed = parse_format("%" + "0" * 300_000 + end)
    except BadFormat:
        assert end == "*d"
    else:
        assert (parsed.letter, parsed.width) == (end if end == "d" else "", 0)
    assert time.thread_time() - began < 5.0
