"""condor_q -better-analyze: which pilots meet which clause of a job's Requirements."""

import pytest

from tests.support.fake_query_queue import FakeQueue, job, out
from tests.support.schedd_parts import Expression
from tests.support.slow_expressions import make_slow
from thyme.protocol.job import JobId
from vobox.classad.ad import Ad
from vobox.commands.query import analysis
from vobox.commands.query.analysis import split_clauses
from vobox.commands.query.condor_q import answer as condor_q

PILOTS = [
    Ad({"Name": f'"slot1@node{n}"', "OpSysAndVer": f'"{system}"', "Memory": memory})
    for n, (system, memory) in enumerate(
        [("Debian12", "2000"), ("Debian12", "4000"), ("AlmaLinux9", "8000")]
    )
]

STATES = ((0, '"Claimed"'), (1, '"Unclaimed"'), (2, '"Claimed"'))


def analyze(requirements: str, *argv: str, pilots: list[Ad] | None = None) -> list[str]:
    queue = FakeQueue([job(7, 3, Requirements=Expression(requirements))])
    queue.machines = PILOTS if pilots is None else pilots
    return out(condor_q, queue, *(argv or ("-better-analyze", "7.3"))).splitlines()


def test_each_clause_says_how_many_pilots_meet_it() -> None:
    lines = analyze('OpSysAndVer == "Debian12" && (Memory > 3000) && HasSingularity')

    assert lines[lines.index("-----  --------  ---------") + 1 :][:3] == [
        '[0]           2  OpSysAndVer == "Debian12"',
        "[1]           2  (Memory > 3000)",
        "[2]           3  HasSingularity",
    ]
    assert lines[:3] == ["", "", "-- Schedd: vobox1.example.org : <127.0.0.1:36097?..."]  # no time
    assert "7.003:  Run analysis summary.  Of 3 machines," in lines
    assert "      2 are rejected by your job's requirements" in lines
    assert "      1 may run your job; any pilot takes it in turn" in lines
    assert not [line for line in lines if "WARNING" in line]


@pytest.mark.parametrize("option", ["-better", "-analyze", "-better-analyse:summary"])
def test_a_job_that_no_pilot_meets_says_so(option: str) -> None:
    lines = analyze('OpSysAndVer == "Debian12" && Memory > 5000', option, "7.3")

    assert "      3 are rejected by your job's requirements" in lines
    assert lines[-6:-2] == [
        "", "WARNING:  Be advised:", "   No machines matched the jobs's constraints", "",
    ]  # fmt: skip


def test_an_idle_job_says_its_place_in_the_queue_and_what_the_pilots_do() -> None:
    pilots = [Ad({**PILOTS[n].texts(), "State": state}) for n, state in STATES]
    queue = FakeQueue([job(6, 0), job(6, 1), job(7, 3)])
    queue.machines = pilots

    assert out(condor_q, queue, "-better-analyze", "7.3").splitlines()[-2:] == [
        "Job 7.003 is idle; jobs queued before it: 2. "
        "Pilots that wait for a job: 1, that have one: 2.",
        "",
    ]


def test_an_idle_job_without_a_message_in_the_queue_says_so() -> None:
    class NotQueued(FakeQueue):
        def count_queued_before(self, job: JobId) -> int | None:
            return None

    assert out(condor_q, NotQueued([job(7, 3)]), "-better-analyze", "7.3").splitlines()[-2:] == [
        "Job 7.003 is idle and not in the queue of its pool: no known pilot meets its "
        "Requirements, or it could not be run and will be queued again.",
        "",
    ]


def test_a_held_job_says_why_as_htcondors_does() -> None:
    queue = FakeQueue([job(7, 3, status=5)])
    assert out(condor_q, queue, "-better-analyze", "7.3").splitlines()[-5:] == [
        "", "7.003:  Job is held.", "", "Hold reason: bad code", "",
    ]  # fmt: skip


def test_pilots_that_were_not_looked_at_count_as_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "MAX_SECONDS", 0.01)
    lines = analyze(f"{make_slow('TARGET.Memory')} && Memory > 1")

    assert lines[-1] == (
        "From job 7.003 on nothing is analyzed: it takes too long. Name fewer jobs, or simplify "
        "their Requirements."
    )
    assert not [line for line in lines if "machines" in line or "[0]" in line]


def test_without_a_pilot_nothing_is_said_of_the_requirements() -> None:
    assert "   No pilot is known at present" in analyze("true", pilots=[])


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("a", ["a"]),
        ("a && b", ["a", "b"]),
        ("(a && b) && f(c && d)&&e", ["(a && b)", "f(c && d)", "e"]),
        ('x == "a && b" && y', ['x == "a && b"', "y"]),
        (r'x == "\" && " && y', [r'x == "\" && "', "y"]),
        ("a && b || c", ["a && b || c"]),
        ("(a || b) && c", ["(a || b)", "c"]),
        ("a ? b && c : d", ["a ? b && c : d"]),
    ],
)
def test_only_the_outermost_conjunction_is_taken_apart(text: str, clauses: list[str]) -> None:
    assert split_clauses(text) == clauses
