"""``-af`` / ``-autoformat``: what HTCondor's recorded answers do not show."""

import pytest

from tests.support.fake_query_queue import FakeQueue, job, out
from tests.support.schedd_parts import NOW, Expression
from vobox.commands.query.condor_q import answer as condor_q

TWO = FakeQueue([job(30, 0, 5), job(30, 1, 2)])


def test_a_reference_to_a_machine_is_undefined() -> None:
    assert out(condor_q, TWO, "30.0", "-af", "Requirements") == "undefined\n"


def test_expressions_know_the_clock_the_job_and_the_server_time() -> None:
    queue = FakeQueue([job(4)])
    asked = ["CurrentTime", "ServerTime", "MY.ClusterId + 1", "ServerTime - QDate"]
    assert out(condor_q, queue, "-af", *asked) == f"{int(NOW)} {int(NOW)} 5 360\n"


def test_headings_stand_over_their_columns() -> None:
    queue = FakeQueue([job(1), job(12345, Owner="a-much-longer-name")])
    assert out(condor_q, queue, "-all", "-af:h", "ClusterId", "Owner", "X") == (
        "ClusterId Owner              X\n"
        "1         games              undefined\n"
        "12345     a-much-longer-name undefined\n"
    )
    assert out(condor_q, queue, "1", "-af:jh", "JobStatus") == (" ID JobStatus\n1.0 1        \n")


def test_a_heading_is_as_wide_as_htcondor_takes_a_value_for() -> None:
    # 25.14.1: reals as new ClassAds write them, of other texts the bytes, no truth values or lists
    values = {"Load": 2.5, "Done": True, "Names": Expression('{ "a" }'), "Title": "häß€"}
    queue = FakeQueue([job(**values)])
    assert out(condor_q, queue, "-af:h", *values, "Owner") == (
        "Load                  Done Names Title    Owner\n"
        '2.5                   true { "a" } häß€ games\n'
    )
    assert out(condor_q, queue, "-af:hV", "Title", "Owner", "Load > 1", "Load+1") == (
        "Title    Owner Load > 1 Load+1               \n"
        '"häß€" "games" true     3.5                  \n'
    )


def test_times_are_written_as_the_tables_write_them() -> None:
    queue = FakeQueue([job(RemoteWallClockTime=93784.0)])
    assert out(condor_q, queue, "-af:T", "RemoteWallClockTime", "Owner") == "  1+02:03:04 \n"
    assert out(condor_q, queue, "-af:Y", "QDate", "Nope") == "11/22 13:19 \n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        ("60", "01:00"),
        ("0.5", "0.5"),
        ("-0.5", "-0.5"),
        ("1e-5", "1e-05"),
        ("61.5", "01:1.5"),
        ("-3661.25", "-01:01:1.25"),
        ("100000.75", "1+03:46:40.75"),
        ("1234567.123456789", "14+06:56:7.12346"),
    ],
)
def test_a_relative_time_has_the_parts_of_a_second(seconds: str, text: str) -> None:
    # recorded from HTCondor 25.14.1
    asked = ("-af", f"relTime({seconds})")
    assert out(condor_q, FakeQueue([job(1)]), *asked) == f'relTime("{text}")\n'


def test_times_below_zero_are_written_as_htcondor_writes_them() -> None:
    # as 25.14.1 prints them
    asked = [f"0-{seconds}" for seconds in ("1", "61", "3700", "90061", "0.5")]
    assert out(condor_q, FakeQueue([job(4)]), "-af:T", *asked) == (
        "  0+00:00:-1   0+00:-1:-1   0+-1:-1:-40  -1+-1:-1:-1   0+00:00:00\n"
    )
    assert out(condor_q, FakeQueue([job(4)]), "-format", "%Y|", "0-1") == "    ???    |"


def test_every_word_up_to_the_next_dash_is_an_attribute_also_a_number() -> None:
    assert out(condor_q, TWO, "-af", "JobStatus", "38") == "5 38\n2 38\n"
    assert out(condor_q, TWO, "-af", "JobStatus", "-", "30.1") == "2\n"


def test_a_label_does_not_count_for_the_width_of_the_ids() -> None:
    # HTCondor 25.14.1, of the same jobs in a file
    queue = FakeQueue([job(1), job(123456, 11)])
    assert out(condor_q, queue, "-all", "-af:jlh", "JobStatus") == (
        " ID       JobStatus\nID = 1.0  1        \nID = 123456.11 1        \n"
    )
