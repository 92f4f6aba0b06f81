"""Evaluating in a part of the ad gives what evaluating in all of it gives."""

from pathlib import Path

import classad2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fake_query_queue import job
from tests.support.schedd_parts import NOW
from vobox.classad.ad import MAX_EXPRESSION, Ad, ParseError, convert_old_syntax, evaluate
from vobox.classad.expressions import Evaluator, compile_expression
from vobox.classad.literals import ERROR, UNDEFINED, value_text

VALUES = Path(__file__).parents[3] / "golden/classad/values.tsv"
NAMES = ["JobStatus", "clusterid", "Owner", "Nope", "Chain", "Loop", "MY.ProcId", "Record", "Text"]
AD = job(
    7,
    3,
    2,
    Text='say "x"',
)
AD["Chain"] = "Deeper + 1"
AD["Deeper"] = "MY.ClusterId * 2"
AD["Loop"] = "Loop + 1"
AD["Record"] = "[a = ClusterId; b = a].b"

ATOMS = st.one_of(
    st.sampled_from(NAMES),
    st.sampled_from(["1", "2.5", '"x"', "true", "undefined", "error", "CurrentTime", "Record"]),
)


def _joined(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(["+", "==", "&&", "||", "=?=", "=!=", "<", "?:"])
    return st.one_of(
        st.tuples(parts, operators, parts).map(lambda each: f"({each[0]} {each[1]} {each[2]})"),
        st.tuples(parts, parts, parts).map(lambda each: f"({each[0]} ? {each[1]} : {each[2]})"),
        parts.map(lambda part: f"strcat({part}, ProcId)"),
        parts.map(lambda part: f"isUndefined({part})"),
        parts.map(lambda part: f"ifThenElse({part}, Owner, Cmd)"),
    )


@given(st.recursive(ATOMS, _joined, max_leaves=6))
@settings(max_examples=400, deadline=None)
def test_the_value_is_that_in_the_whole_ad(text: str) -> None:
    try:
        expected = evaluate(text, AD, NOW)
    except ParseError:
        expected = ERROR
    found = Evaluator(NOW).value(AD, text)
    assert type(found) is type(expected)
    assert found == expected


def test_a_remembered_result_is_not_that_of_another_job() -> None:
    evaluator = Evaluator(NOW)
    ads = [Ad({"A": str(n), "B": "A * 10", "C": '"x"'}) for n in range(5)]
    assert [evaluator.value(ad, "B + 1") for ad in ads] == [1, 11, 21, 31, 41]
    ads[2]["B"] = "A * 100"
    del ads[3]["A"]
    assert [evaluator.value(ad, "B + 1") for ad in ads] == [1, 11, 201, UNDEFINED, 41]
    assert [evaluator.value(ad, "B + A") for ad in ads] == [0, 11, 202, UNDEFINED, 44]


def test_an_attribute_named_only_at_run_time_is_found() -> None:
    evaluator = Evaluator(NOW, {"ServerTime": "9"})
    assert evaluator.value(Ad({"A": "1", "Name": '"A"'}), "eval(Name) + ServerTime") == 10
    assert evaluator.value(Ad({"A": "5", "Name": '"A"'}), "eval(Name) + ServerTime") == 14


@pytest.mark.parametrize("text", ["", " ", "1 +", "a b", "1; b = 2", "1) + (2", "a\0b", "\ud800"])
def test_what_is_no_expression_is_an_error(text: str) -> None:
    assert Evaluator(NOW).value(AD, text) is ERROR
    with pytest.raises(ParseError):
        compile_expression(text)


def test_an_expression_that_is_too_long_is_none() -> None:
    assert Evaluator(NOW).value(AD, "1+" * MAX_EXPRESSION + "1") is ERROR


def test_the_ads_stay_as_they_are() -> None:
    before = dict(AD)
    Evaluator(NOW, {"ServerTime": "9"}).value(AD, 'eval("ServerTime") + CurrentTime')
    assert dict(AD) == before


def test_values_that_python_cannot_hold_are_errors() -> None:
    value = Evaluator(NOW).value(AD, 'substr("é", 0, 1)')
    assert value is ERROR
    assert isinstance(value, classad2.Value)


def test_values_are_those_of_htcondor() -> None:
    # HTCondor 25.14.1: condor_q -af:V EXPRESSION, of a job with these attributes
    ad = Ad(
        {
            "X": "5", "Y": "2.5", "S": '"Hello World"', "L": '{1,"a",2.5}', "B": "true",
            "Rec": '[p=1;q="z"]', "Er": "error", "Neg": "-3", "Big": "9000000000000000000",
            "D": '"a,b, c"', "V": '"8.9.11"', "Z": "X + Y",
        }
    )  # fmt: skip
    evaluator = Evaluator(NOW)
    recorded = [line.split("\t") for line in VALUES.read_text().splitlines()]
    found = [
        [text, value_text(evaluator.value(ad, convert_old_syntax(text)), quoted=True)]
        for text, _value in recorded
    ]
    assert len(recorded) > 300
    assert found == recorded
