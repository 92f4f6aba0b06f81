"""``-format``: what HTCondor's recorded answers do not show."""

import pytest

from tests.support.fake_query_queue import FakeQueue, ask, job, out
from tests.support.schedd_parts import Expression
from vobox.commands.query.condor_q import answer as condor_q


def formatted(*argv: str, **attributes: bool | int | float | str | Expression) -> str:
    return out(condor_q, FakeQueue([job(12, 3, 2, **attributes)]), *argv)


def test_a_literal_undefined_is_text_under_s() -> None:
    code = Expression("undefined")
    assert formatted("-format", "%s", "HoldReasonCode", HoldReasonCode=code) == "undefined"
    assert formatted("-format", "%d", "HoldReasonCode", HoldReasonCode=code) == ""


def test_s_prints_the_value_of_an_attribute_that_evaluates_to_a_string() -> None:
    assert formatted("-format", "%s", "X", X=Expression('strcat(Owner,"!")')) == "games!"


def test_a_negative_real_is_cut_toward_zero() -> None:
    assert formatted("-format", "%d", "X", X=-3.9) == "-3"


@pytest.mark.parametrize(
    ("value", "real"), [("1e300", "1e+300"), ('real("INF")', "inf"), ("-1.0e20", "-1e+20")]
)
def test_a_number_beyond_64_bits_is_a_number(value: str, real: str) -> None:
    asked = ("-format", "%d ", "X", "-format", "%g", "X")
    assert formatted(*asked, X=Expression(value)) == f"0 {real}"
    assert formatted("-constraint", value, *asked, X=Expression(value)) == f"0 {real}"


def test_an_integer_expression_prints_nothing_under_s() -> None:
    assert formatted("-format", "%s", "ClusterId+1") == ""
    assert formatted("-format", "%6s|", "ClusterId+1") == " " * 6


def test_escapes_are_read_also_when_the_shell_left_them_alone() -> None:
    assert formatted("-format", r"%d\t\"\\\n", "ClusterId") == '12\t"\\\n'
    assert formatted("-format", "%d\n", "ClusterId") == "12\n"


def test_a_job_none_of_whose_items_prints_contributes_no_byte() -> None:
    queue = FakeQueue([job(1), job(2, GridJobStatus="PENDING"), job(3)])
    printed = out(
        condor_q, queue, "-format", "%s ", "GridJobId", "-format", "%s \n", "GridJobStatus"
    )
    assert printed == "PENDING \n"


def test_ids_after_a_format_are_ids_again() -> None:
    queue = FakeQueue([job(1), job(2)])
    assert out(condor_q, queue, "-format", "%d\n", "ClusterId", "2") == "2\n"


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ("%d %d", "more than one conversion"),
        ("%*d", "width or precision of *"),
        ("%.*f", "width or precision of *"),
        ("%n", "%n is not supported"),
        ("%99999999d", "wider than"),
    ],
)
def test_a_format_that_c_would_answer_with_garbage_is_refused(form: str, why: str) -> None:
    answer = ask(condor_q, FakeQueue([job()]), "-format", form, "ClusterId")
    assert (answer.stdout, answer.code) == ("", 1)
    assert answer.stderr.startswith(f"Error: -format '{form}': ")
    assert why in answer.stderr
