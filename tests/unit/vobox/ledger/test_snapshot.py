"""Queries answered from the ledger's columns say what queries of whole ads say."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import classad2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.fake_query_queue import FakeQueue, ask, job
from tests.support.schedd_parts import Expression
from thyme.protocol.job import JobId
from vobox.classad.ad import Ad
from vobox.commands.query import condor_q
from vobox.jobs.job import Job
from vobox.ledger.snapshot import LedgerSnapshot
from vobox.ledger.writer import Ledger

OWNERS = ("games", "Games", "alice", "o'neill", "zoë")


def crowd() -> list[Ad]:
    """Jobs of several owners, clusters and states; some with a batch name."""
    ads = []
    for cluster, proc in itertools.product((1, 2, 30, 31), (0, 1, 2)):
        number = cluster + proc
        owner = OWNERS[number % len(OWNERS)]
        ad = job(cluster, proc, 1 + number % 7, Owner=owner, User=f"{owner}@example.org")
        ad["QDate"] = str(1795353000 + 7 * number)
        ad["TotalSubmitProcs"] = "3"
        ad["RequestMemory"] = "128" if number % 3 else "64 + ProcId"
        ad["Iwd"] = f'"/home/{number}"'
        ad["Always"], ad["Twice"], ad["Text"] = "QDate > 7", "2 * Odd", '"ProcId"'
        ad["Note"] = ('"plain"', '"zo\u00eb"', "undefined", "error", '"a\\\\b\\"c"', "-0.5")[
            number % 6
        ]
        ad["Half"] = "true" if number % 2 else '"\\t"'
        if number % 2:
            ad["Odd"] = str(number) if number % 5 else "ClusterId - ProcId"
        if cluster == 30 or number == 2:
            ad["JobBatchName"] = '"mine"'
        ads.append(ad)
    return ads


def stored(directory: Path, ads: list[Ad]) -> LedgerSnapshot:
    ledger = Ledger(directory / "ledger.db")
    with ledger.transaction():
        for ad in ads:
            number = JobId(ad.number("ClusterId"), ad.number("ProcId"))
            ledger.put(Job(number, 1, 1, "pool", Ad(ad), ad.number("JobStatus")))
    ledger.close()
    fake = FakeQueue()
    return LedgerSnapshot(directory / "ledger.db", fake.schedd_name, fake.address, "")


@pytest.fixture
def view(tmp_path: Path) -> Iterator[LedgerSnapshot]:
    made = stored(tmp_path, crowd())
    yield made
    made.close()


COMMAND_LINES = [
    [],
    ["-allusers"],
    ["-allusers", "-nobatch"],
    ["-allusers", "-totals"],
    ["-allusers", "-hold"],
    ["-allusers", "-idle"],
    ["-allusers", "-idle", "-totals"],
    ["-global", "-run"],
    ["GAMES"],
    ["games@example.org", "-af:j", "Owner"],
    ["alice", "30", "2.1", "-af", "ClusterId", "ProcId"],
    ["", "-af", "ClusterId"],
    ["-submitter", "alice", "-af:h", "ClusterId", "Owner", "QDate"],
    ["-allusers", "-af", "ClusterId", "ProcId", "JobStatus"],
    ["-allusers", "-af:lng", "Owner", "JobBatchName", "TotalSubmitProcs"],
    ["-allusers", "-af:rV", "Owner", "JobBatchName", "ClusterId+1", "ServerTime"],
    ["-allusers", "-limit", "3", "-af", "ClusterId"],
    ["-allusers", "-af:j,", "JobStatus", "QDate", "Owner"],
    ["-allusers", "-af:jt", "JobStatus", "-format", "%%x\\t", "Y", "-limit", "2"],
    ["-allusers", "-af:gn", "procid", "JOBSTATUS", "-idle"],
    ["-allusers", "-af:V", "Owner", "ClusterId"],
    ["-allusers", "-af:lj", "Owner", "ClusterId"],
    ["-allusers", "-format", "text", "X"],
    ["alice", "-af", "Owner", "ProcId", "-constraint", 'Owner == "ALICE" && QDate > 5'],
    ["-allusers", "-format", "%d.", "ClusterId", "-format", "%d ", "ProcId", "-format", "\\n", "X"],
    ["-allusers", "-const", "JobStatus < 3", "-af", "JobStatus", "-format", "p ", "GridResource"],
    ["-allusers", "-constraint", "JobStatus==1 || JobStatus==2", "-format", "%s\\n", "Cmd"],
    ["-allusers", "-constraint", "JobStatus == 1 && RequestDisk > 4", "-af", "ClusterId"],
    ["-allusers", "-constraint", "Owner == MY.Owner", "-af", "ClusterId"],
    ["-allusers", "-constraint", "RequestMemory > 100", "-af", "ClusterId", "ProcId"],
    ["-allusers", "-constraint", "RequestMemory > 100", "-af", "ClusterId", "RequestMemory"],
    ["-allusers", "-constraint", "RequestMemory > 100 && JobStatus != 2", "-af:j", "Owner"],
    ["-allusers", "-constraint", "MemoryUsage > 1", "-af", "ClusterId", "MemoryUsage"],
    ["-allusers", "-constraint", "Odd > 3", "-af:j", "Odd"],
    ["-allusers", "-constraint", "ServerTime > QDate + 1", "-af:j", "QDate"],
    ["-allusers", "-constraint", 'regexp("2", Iwd) && Always', "-af:j", "Always", "Twice"],
    ["-allusers", "-constraint", "JobBatchName =?= undefined", "-af:j", "Always", "Twice"],
    ["-allusers", "-af:jr", "Iwd", "Odd", "Twice"],
    ["-allusers", "-constraint", "eval(Text) == ProcId", "-af:j", "Text"],
    ["-allusers", "-constraint", "foo", "-af", "ClusterId"],
    ["-allusers", "-constraint", "ClusterId >= 30", "-batch"],
    ["-allusers", "-json", "-attributes", "ClusterId,JobStatus,ExitCode"],
    ["-allusers", "-xml", "-constraint", "ProcId == 1"],
    ["-allusers", "-long"],
]


@pytest.mark.parametrize("argv", COMMAND_LINES, ids=" ".join)
def test_the_ledger_answers_as_whole_ads_do(view: LedgerSnapshot, argv: list[str]) -> None:
    assert ask(condor_q.answer, view, *argv) == ask(condor_q.answer, FakeQueue(crowd()), *argv)


@pytest.mark.parametrize(
    "odd",
    [
        {"Owner": 'a "b"'},
        {"Owner": "back\\slash"},
        {"QDate": Expression("1 + 1")},
        {"QDate": Expression("undefined")},
        {"ProcId": Expression("07")},
        {"JobBatchName": Expression("strcat(Owner, Owner)")},
        {"TotalSubmitProcs": Expression("1.0")},
        {"ClusterId": 2**31},
    ],
    ids=str,
)
def test_columns_that_are_not_what_an_ad_says_are_not_used(
    tmp_path: Path, odd: dict[str, str | Expression]
) -> None:
    ads = [*crowd(), job(31, 7, 1, **odd)]
    view = stored(tmp_path, ads)
    for argv in COMMAND_LINES:
        asked = ask(condor_q.answer, view, *argv)
        if "-global" not in argv:
            assert asked.code == 0
        if "-af" in argv:
            assert asked == ask(condor_q.answer, FakeQueue(ads), *argv), argv
    view.close()


# --- what a database may decide ----------------------------------------------------------------

NUMBERS = st.sampled_from(
    ["0", "1", "2", "3", "30", "007", "2.0", "-1", "true", '"1"', "undefined"]
)
STRINGS = st.sampled_from(['"games"', '"GAMES"', '"zoë"', '"o\'neill"', '"a&&b"', '"\\""', "5"])
NAMES = st.sampled_from(
    [
        *("ClusterId", "PROCID", "MY.JobStatus", "QDate", "TARGET.JobStatus", "ExitCode"),
        *("JobPrio", "RequestMemory", "Odd", "Always", "Twice", "MY.Iwd", "ServerTime"),
        *("TotalSubmitProcs", "Note", "Half", "ResidentSetSize"),
    ]
)
SIGNS = st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "=?=", "=!=", " is ", " isnt ", "+"])
COMPARISONS = st.one_of(
    st.builds("{} {} {}".format, NAMES, SIGNS, NUMBERS),
    st.builds("{}{}{}".format, NUMBERS, SIGNS, NAMES),
    st.builds("Owner {} {}".format, SIGNS, STRINGS),
    st.sampled_from(
        ["true", "undefined", "JobStatus", 'strcat("a", Owner) == "agames"', "!ProcId"]
    ),
)
CONSTRAINTS = st.recursive(
    COMPARISONS,
    lambda inner: st.one_of(
        st.builds("{} && {}".format, inner, inner),
        st.builds("{} || {}".format, inner, inner),
        st.builds("({})".format, inner),
        st.builds("!({})".format, inner),
        st.builds("{} ? {} : {}".format, inner, inner, inner),
        st.builds("{} == {}".format, inner, inner),
        st.builds("{} // {}\n".format, inner, inner),
        st.builds("{} /* {} */ && {}".format, inner, inner, inner),
    ),
    max_leaves=6,
)


@given(constraint=CONSTRAINTS)
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_constraint_selects_the_same_jobs_in_the_database(
    view: LedgerSnapshot, constraint: str
) -> None:
    argv = ["-allusers", "-constraint", constraint, "-af:j", "JobStatus"]
    by_columns = ask(condor_q.answer, view, *argv)
    assert by_columns == ask(condor_q.answer, FakeQueue(crowd()), *argv)


def test_a_thousand_parts_are_not_given_to_the_database(view: LedgerSnapshot) -> None:
    for parts in (90, 500):
        constraint = " || ".join(f"ClusterId == {number}" for number in range(parts))
        argv = ["-allusers", "-constraint", constraint, "-af", "ClusterId"]
        assert ask(condor_q.answer, view, *argv) == ask(condor_q.answer, FakeQueue(crowd()), *argv)
    owners = [f"user{number}" for number in range(3000)]
    assert ask(condor_q.answer, view, *owners, "alice", "-af", "Owner").stdout.split() == [
        "alice" for ad in crowd() if ad.text("Owner") == "alice"
    ]
    ids = [str(number) for number in range(40_000)]
    assert len(ask(condor_q.answer, view, *ids, "-af", "ClusterId").stdout.split()) == 12


def test_the_library_agrees_on_what_plain_comparisons_mean() -> None:
    # what the columns stand for, without our own evaluator in between
    for ad, text in itertools.product(crowd(), ("JobStatus < 3", 'Owner == "GAMES"')):
        value = classad2.ExprTree(text).eval(ad.classad())
        (column, wanted) = ("JobStatus", 3) if "<" in text else ("Owner", "games")
        own = ad.number(column) < 3 if "<" in text else ad.text(column).lower() == wanted
        assert value is own


def test_jobs_of_the_pool_with_earlier_messages_were_queued_before(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    jobs = [  # pool, JobStatus, whether it has a message, offset of the message
        ("pool", 1, True, 10), ("pool", 1, True, 30), ("pool", 1, True, 20), ("other", 1, True, 5),
        ("pool", 2, True, 5), ("pool", 1, False, 5),
    ]  # fmt: skip
    with ledger.transaction():
        for proc, (pool, status, queued, offset) in enumerate(jobs):
            ledger.put(
                Job(JobId(1, proc), 1, 1, pool, job(1, proc, status), status, queued=queued,
                    submitted=offset)
            )  # fmt: skip
    ledger.close()

    snapshot = LedgerSnapshot(tmp_path / "ledger.db", "vobox", "", "")
    found = [snapshot.count_queued_before(JobId(1, proc)) for proc in range(len(jobs) + 1)]
    snapshot.close()
    # a running job, one without a message and an unknown one are not queued
    assert found == [0, 2, 1, 0, None, None, None]


def test_large_ads_among_small_ones_are_read_in_order(tmp_path: Path) -> None:
    ads = []
    for proc in range(5):
        ad = job(1, proc, 1)
        ad["Note"] = f'"{os.urandom(40_000).hex() if proc % 2 else proc}"'
        ads.append(ad)
    snapshot = stored(tmp_path, ads)
    found = [dict(ad) for ad in snapshot.read_jobs()]
    snapshot.close()
    assert found == [dict(ad) for ad in ads]
