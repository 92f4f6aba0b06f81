"""No regular expression takes long, and each still means what it did."""

import time

import classad2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vobox.classad.ad import Ad, ParseError, evaluable, evaluate
from vobox.classad.expressions import Evaluator
from vobox.classad.regexps import MAX_STEPS, limit_regexps

A = "a" * 40 + "!"
SLOW = [
    f'regexp("^(a+)+$", "{A}")',
    f'REGEXP ( "^(a+)+$" , "{A}" , "i" )',
    f'regexp/* " */("^(a+)+$", "{A}")',
    f'regexp// "\n("^(a+)+$", "{A}")',
    f'regexps("^(a+)+$", "{A}", "x")',
    f'replace("^(a+)+$", "{A}", "x")',
    f'replaceAll("^(a+)+$", "{A}", "x")',
    f'regexpMember("^(a+)+$", {{"{A}"}})',
    f'regexp(strcat("^(a+", ")+$"), "{A}")',
    f'regexp(ifThenElse(true, "^(a+)+$", "b"), "{A}")',
    f'regexp("(*LIMIT_MATCH=4000000000)^(a+)+$", "{A}")',
    f'{{regexp("^(a+)+$", "{A}")}}[0]',
    f'[x = regexp("^(a+)+$", "{A}")].x',
    f'\'regexp\'("^(a+)+$", "{A}")',
    f'\'RegExp\' /* ( */ ("^(a+)+$", "{A}")',
    f'\'reg\\145xp\'("^(a+)+$", "{A}")',
    f'eval("regexp(\\"^(a+)+$\\", \\"{A}\\")")',
    f'EVAL(strcat("reg", "exp(\\"^(a+)+$\\", \\"{A}\\")"))',
    f'eval("\'reg\\\\145xp\'(\\"^(a+)+$\\", \\"{A}\\")")',
    f'eval("regexp/**/ (\\"^(a+)+$\\", \\"{A}\\")")',
    f'eval("eval(strcat(\\"reg\\", \\"exp(\\\\\\"^(a+)+$\\\\\\", \\\\\\"{A}\\\\\\")\\"))")',
    f'\'eval\'("regexp(\\"^(a+)+$\\", \\"{A}\\")")',
    f'eval(T)/*, regexp("x", "y")*/ || regexps("^(a+)+$", "{A}", "x") == ""',
]


@pytest.mark.parametrize("text", SLOW)
def test_none_takes_long(text: str) -> None:
    ad = Ad({"A": text, "B": "A", "C": f"[x = {text}].x"})
    for name in ("A", "B", "C"):
        best = 9.0
        for _ in range(3):  # this machine may have other work
            began = time.thread_time()
            Evaluator(0).value(ad, name)
            evaluate(name, ad, 0)
            best = min(best, time.thread_time() - began)
        assert best < 0.03, "an unlimited one takes a tenth of a second"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('regexp("^A", "abc", "i")', True),
        ('regexp("^b", "abc")', False),
        ('regexp(X, "abc")', classad2.Value.Undefined),
        ('regexp(P, T)', True),
        ('regexps("(a)(b)", "ab", "\\\\2\\\\1")', "ba"),
        ('replaceAll("a", "banana", "o")', "bonono"),
        ('replace("a", regexps("^(.)", "a", "\\\\1"), "b")', "b"),
        ('regexpMember("^b", {"a", "bc"})', True),
        ('stringList_regexpMember("^b", "a,bc")', True),
        ('strcat("regexp(", P)', "regexp(^a"),
        ('regexp("a" + 1, "b")', classad2.Value.Error),
        ('regexp(5, "5")', classad2.Value.Error),
        ('regexps(true, "true", "x")', classad2.Value.Error),
        ('replace({"a"}, "a", "x")', classad2.Value.Error),
        ('regexpMember(1.5, {"1.5"})', classad2.Value.Error),
        ('regexp("", T)', True),
        ('eval("1 + 2")', 3),
        ('eval(strcat("N", " * 2"))', 14),
        ('eval(N)', 7),
        ('eval(N > 5)', True),
        ('eval(2.5)', 2.5),
        ('eval(X)', classad2.Value.Error),
        ('eval("Requirement / 2")', 4),
        ('eval(strcat("strcat(", "\\"a\\", \\"b\\")"))', "ab"),
        ("'N' + 'size'(T)", 10),
    ],
)  # fmt: skip
def test_each_means_what_it_did(text: str, value: object) -> None:
    ad = Ad({"P": '"^a"', "T": '"abc"', "N": "7", "Requirement": "8"})
    assert classad2.ExprTree(text).eval(ad.classad()) == value
    assert classad2.ExprTree(limit_regexps(text)).eval(evaluable(ad)) == value


@pytest.mark.parametrize(
    "text", ['eval("regexp(\\"a\\", \\"a\\")")', 'eval("eval(1)")', '\'regexp\'("a", "a")']
)
def test_a_call_that_cannot_be_limited_is_an_error(text: str) -> None:
    assert classad2.ExprTree(limit_regexps(text)).eval() == classad2.Value.Error


def test_what_calls_none_stays_as_it_is() -> None:
    for text in ('"regexp(\\"x\\", y)"', "a && b", "'regexp'", "Regexp", "// regexp(", "foo(a, b)"):
        assert limit_regexps(text) == text
    limited = limit_regexps('regexp("x", f(a, b)) || regexps(g(a, b), c, d)')
    prefix = f'strcat("(*LIMIT_MATCH={MAX_STEPS})(?:)",substr('
    assert limited == (f'regexp({prefix}"x",0)), f(a, b)) || regexps({prefix}g(a, b),0)), c, d)')


PIECES = [
    "regexp(",
    "replace (",
    "eval(",
    "'regexp' (",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    ",",
    '"',
    "'",
    "\\",
    "a",
    "/*",
    "*/",
]


@given(
    st.lists(st.sampled_from([*PIECES, "*/", "//", "\n", " ", "1", "&&"]), max_size=30).map("".join)
)
@settings(max_examples=300, deadline=None)
def test_any_text_is_parsed_after_it_or_not_as_before(text: str) -> None:
    def parses(expression: str) -> bool:
        try:
            classad2.ExprTree(expression)
        except (classad2.ClassAdException, ParseError):
            return False
        return True

    assert parses(limit_regexps(text)) == parses(text)


def test_a_text_of_nothing_but_calls_is_done_at_once() -> None:
    began = time.thread_time()
    limit_regexps("regexp(" * 100_000)
    limit_regexps("'a'" * 100_000)
    assert time.thread_time() - began < 5
