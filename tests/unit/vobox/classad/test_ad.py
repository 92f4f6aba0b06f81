"""Job ads as text: names without case, literals, and expressions that cannot hurt."""

import classad2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vobox.classad.ad import (
    Ad,
    ParseError,
    convert_old_syntax,
    evaluate,
    literal,
    parse,
    parse_old,
    unquote,
)


def test_names_are_found_in_any_case_and_keep_their_first_spelling() -> None:
    ad = Ad({"QDate": "17"})
    ad["QDATE"] = "18"
    assert dict(ad.items()) == {"QDate": "18"} and ad["qdate"] == "18" and "qDate" in ad


@pytest.mark.parametrize("text", ['"a" + "b"', '"unfinished', "Other", "17", 'strcat("a")'])
def test_what_is_no_string_literal_has_no_text(text: str) -> None:
    assert Ad({"A": text}).text("A", "none") == "none"


@pytest.mark.parametrize("text", ["1.5", "true", '"1"', "1 + 1", ""])
def test_what_is_no_integer_literal_has_no_number(text: str) -> None:
    assert Ad({"A": text}).number("A", -1) == -1


@pytest.mark.parametrize("value", ['a "b" \\c', "two\nlines", "tab\t", "käse", ""])
def test_a_text_is_the_same_after_quoting(value: str) -> None:
    assert unquote(literal(value)) == value


def test_literals_are_written_as_htcondor_writes_them() -> None:
    assert [literal(v) for v in (True, False, 0, 0.0, 1.5)] == ["true", "false", "0", "0.0", "1.5"]


@pytest.mark.parametrize("value", ["caf\udce9", "\ud800", "a\0b"])
def test_what_a_string_cannot_hold_is_spelled_out(value: str) -> None:
    assert "\\" in unquote(literal(value))


@pytest.mark.parametrize("text", ["", "a b", "1; B = 2", "1) + (2", "(((", "]"])
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        parse(text)


def test_an_expression_too_long_for_the_parser_is_refused() -> None:
    with pytest.raises(ParseError, match="at most 16384"):
        parse("a" + ".a" * 10000)


def test_my_and_currenttime_are_known_together() -> None:
    assert evaluate("CurrentTime - MY.QDate", Ad({"QDate": "17"}), 20.9) == 3


def test_odd_attribute_names_can_be_parsed() -> None:
    ad = Ad({"a.b": "1", "it's": "2", "true": "3", "Plain": "4"})
    assert {name: ad.classad()[name] for name in ad} == {"a.b": 1, "it's": 2, "true": 3, "Plain": 4}


@settings(max_examples=500)
@given(
    st.lists(st.sampled_from(["\\", '\\"', "a", "n", " "]), max_size=10)
    .map("".join)
    .map('"{}"'.format)
)
@example('"C:\\temp"')
@example('"ends with \\"')
@example('"a\\"b"')
@example('strcat("\\d", "x\\\\")')
def test_the_old_syntax_is_read_as_htcondors_own_parser_reads_it(text: str) -> None:
    theirs = classad2.parseOne(f"A = {text}\n", classad2.Parser.Old)
    expected = theirs.eval("A") if "A" in theirs else None
    try:
        ours = parse_old(text).eval()
    except ParseError:
        ours = None
    assert ours == expected


def test_a_backslash_of_the_old_syntax_is_itself() -> None:
    assert parse_old(r'"C:\temp"').eval() == r"C:\temp"
    assert convert_old_syntax(r'regexp("^v\d+", Tag)') == r'regexp("^v\\d+", Tag)'
