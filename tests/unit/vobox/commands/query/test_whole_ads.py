"""Whole ads in each form: what HTCondor's recorded answers do not show."""

import json
from xml.etree import ElementTree

import classad2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fake_query_queue import FakeQueue, ask, job, out
from tests.support.schedd_parts import NOW, Expression
from vobox.classad.ad import literal
from vobox.classad.literals import NOT_LITERAL, expression_text, literal_value
from vobox.commands.query.condor_history import answer as condor_history
from vobox.commands.query.condor_q import answer as condor_q
from vobox.commands.query.formats import format_json_value

QUEUE = FakeQueue(
    [
        job(1, 0, 1, zeta='say "hi"', Alpha=Expression("A+1"), Path="a\\b", Flag=True, R=1.5),
        job(2, 0, 2),
    ]
)


@pytest.mark.parametrize(
    ("options", "begin"),
    [("-json -long", "["), ("-xml -long", "<?xml"), ("-xml -long:json", "["), ("-long -json", "[")],
)
def test_long_changes_no_other_form(options: str, begin: str) -> None:
    # as HTCondor 25.14.1
    assert out(condor_q, QUEUE, *options.split()).startswith(begin)
    if ":" not in options:
        assert out(condor_history, FakeQueue([], [job(3, 0, 4)]), *options.split())[0] == begin[0]


@pytest.mark.parametrize("options", ["-xml -json", "-json -xml"])
def test_xml_and_json_contradict_each_other(options: str) -> None:
    # as HTCondor 25.14.1
    answer = ask(condor_q, QUEUE, *options.split())
    assert (answer.code, answer.stderr) == (1, "Error: Cannot print as both XML and JSON\n")
    answer = ask(condor_history, QUEUE, *options.split())
    expected = "Error: Cannot use more than one of XML and JSON[L]\n"
    assert (answer.code, answer.stderr) == (1, expected)


def test_long_is_sorted_and_ends_each_ad_with_an_empty_line() -> None:
    text = out(condor_q, QUEUE, "1.0", "-long")
    lines = text.splitlines()
    assert text.endswith("\n\n")
    assert lines.pop() == ""
    names = [line.partition(" = ")[0] for line in lines]
    assert names == sorted(names, key=str.lower)
    assert r'zeta = "say \"hi\""' in lines
    assert "Alpha = A + 1" in lines
    assert r'Path = "a\b"' in lines
    assert "Flag = true" in lines
    assert "R = 1.5" in lines
    assert f"ServerTime = {int(NOW)}" in lines


def test_a_line_break_in_a_string_cannot_pose_as_an_attribute() -> None:
    queue = FakeQueue([job(X='a\nJobStatus = "evil')])
    assert out(condor_q, queue, "-long", "-attributes", "X") == 'X = "a\\nJobStatus = \\"evil"\n\n'


def test_json_holds_the_server_time_unless_attributes_are_named() -> None:
    assert json.loads(out(condor_q, QUEUE, "1", "-json"))[0]["ServerTime"] == int(NOW)
    named = json.loads(out(condor_q, QUEUE, "1", "-json", "-attributes", "ClusterId ServerTime"))
    assert named == [{"ClusterId": 1, "ServerTime": int(NOW)}]


def test_xml_can_be_read_whatever_a_string_holds() -> None:
    queue = FakeQueue([job(X="\x01<&>\"'\t\n]]>\x7fé")])
    root = ElementTree.fromstring(out(condor_q, queue, "-xml", "-attributes", "X"))  # noqa: S314
    assert root.findtext("c/a/s") == "\\001<&>\"'\\t\\n]]>\\177\\303\\251"


@pytest.mark.parametrize(
    ("text", "xml"),
    [
        # as HTCondor 25.14.0
        ("error", "<er/>"),
        ("9223372036854775807", "<i>9223372036854775807</i>"),
        ("1e300", "<r>1.000000000000000E+300</r>"),
        ('real("INF")', '<e>real("INF")</e>'),
        ('absTime("2020-01-01T00:00:00+02:00")', "<at>2020-01-01T00:00:00+02:00</at>"),
        ('{ 1,"a",2.0,undefined }', "<l><i>1</i><s>a</s><r>2.000000000000000E+00</r><un/></l>"),
        ("{ A + 1, true }", '<l><e>A + 1</e><b v="t"/></l>'),
        (
            '[ B = 1; C = [ D = "x" ] ]',
            '<c>\n        <a n="B"><i>1</i></a>\n        <a n="C"><c>\n'
            '            <a n="D"><s>x</s></a>\n        </c></a>\n    </c>',
        ),
        ('"\\\\é"', r"<s>\\\303\251</s>"),
    ],
)
def test_xml_writes_each_kind_of_value_as_htcondor_does(text: str, xml: str) -> None:
    shown = out(condor_q, FakeQueue([job(X=Expression(text))]), "-xml", "-attributes", "X")
    assert f'    <a n="X">{xml}</a>\n' in shown


def test_a_whole_ad_with_formats_holds_what_they_refer_to() -> None:
    text = out(condor_q, QUEUE, "1", "-json", "-format", "%s", "zeta", "-af", "R + Nope")
    assert sorted(json.loads(text)[0]) == ["ClusterId", "ProcId", "R", "zeta"]


def test_a_broken_attribute_spoils_only_itself() -> None:
    queue = FakeQueue([job(Bad=Expression("1 +"), Good=1)])
    assert out(condor_q, queue, "-af", "Good", "Bad", "Bad + 1") == "1 error error\n"
    members = json.loads(out(condor_q, queue, "-json"))[0]
    assert members["Good"] == 1
    assert members["Bad"] == "/Expr(1 +)/"
    assert "Bad = 1 +\n" in out(condor_q, queue, "-long")


VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
)


@given(VALUES)
@settings(max_examples=400, deadline=None)
def test_literals_read_and_print_as_the_classad_library_does(value: bool | float | str) -> None:
    text = literal(value)
    holder = classad2.ClassAd(f"[X = {text}]")
    assert json.loads(format_json_value(text)) == json.loads(str(holder.printJson()))["X"]
    if literal_value(text) is not NOT_LITERAL:
        assert literal_value(text) == holder.eval("X")
    printed = str(holder.printOld()).rstrip("\n").partition(" = ")[2]
    # The one thing that we write in another way: see quoted_text.
    printed = printed.replace("\n", "\\n").replace("\r", "\\r")
    assert expression_text(text) == printed
