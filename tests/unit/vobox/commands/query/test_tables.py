"""condor_q's tables to the byte: what HTCondor's recorded answers do not show."""

import pytest

from tests.support.fake_query_queue import FakeQueue, ask, job, out
from tests.support.schedd_parts import NOW
from vobox.commands.query.condor_q import answer as condor_q

TITLE = "\n\n-- Schedd: vobox1.example.org : <127.0.0.1:36097?... @ 11/22/26 13:25:12\n"
NOBATCH = " ID      OWNER            SUBMITTED     RUN_TIME ST PRI SIZE CMD\n"


def footer(query: str, user: str, everybody: str) -> str:
    own = f"Total for games@vobox1.example.org: {user} \n" if user else ""
    return f"Total for query: {query} \n{own}Total for all users: {everybody}\n"


def test_nobatch_is_exact() -> None:
    queue = FakeQueue(
        [
            job(1, 0, 2),
            job(1, 1, 1, JobPrio=-5),
            job(12345, 678, 5, Cmd="run.sh", Arguments="-c exit' '3"),
        ]
    )
    three = "3 jobs; 0 completed, 0 removed, 1 idle, 1 running, 1 held, 0 suspended"
    assert out(condor_q, queue, "-nobatch") == (
        TITLE
        + NOBATCH
        + "   1.0   games          11/22 13:19   0+00:01:06 R  0    0.0 sleep 600\n"
        + "   1.1   games          11/22 13:19   0+00:00:00 I  -5   0.0 sleep 600\n"
        + "12345.678 games          11/22 13:19   0+00:00:00 H  0    0.0 run.sh -c exit' '3\n"
        + "\n"
        + footer(three, three, three)
        + "\n"
    )


@pytest.mark.parametrize(
    ("status", "letter"), [(1, "I"), (2, "R"), (3, "X"), (4, "C"), (5, "H"), (6, ">"), (7, "S")]
)
def test_status_letters(status: int, letter: str) -> None:
    row = out(condor_q, FakeQueue([job(status=status)]), "-nobatch").splitlines()[4]
    assert row.split()[5] == letter


def test_the_run_time_adds_earlier_runs_to_the_current_one() -> None:
    started = int(NOW) - 90061  # a day, an hour, a minute and a second
    queue = FakeQueue([job(1, 0, 2, JobCurrentStartDate=started, RemoteWallClockTime=10.0)])
    assert "  1+01:01:11 R" in out(condor_q, queue, "-nobatch")
    assert "  1+01:01:01 R" in out(condor_q, queue, "-nobatch", "-currentrun")


def test_cputime_shows_processor_time_instead() -> None:
    text = out(condor_q, FakeQueue([job(1, 0, 2, RemoteUserCpu=61.5)]), "-nobatch", "-cputime")
    assert " SUBMITTED     CPU_TIME ST" in text
    assert "   0+00:01:01 R" in text


def test_the_size_is_the_memory_used_or_else_the_image() -> None:
    queue = FakeQueue([job(1, ImageSize=1536), job(2, 0, 2, ResidentSetSize=2_000_000)])
    rows = out(condor_q, queue, "-nobatch").splitlines()[4:6]
    assert [row.split()[7] for row in rows] == ["1.5", "1954.0"]


def test_long_names_are_never_cut() -> None:
    text = out(
        condor_q, FakeQueue([job(Owner="a-rather-long-name", Args="x" * 500)]), "-all", "-nob"
    )
    assert " a-rather-long-name 11/22 13:19 " in text
    assert "x" * 500 in text


def test_a_line_break_in_an_argument_makes_no_row() -> None:
    text = out(condor_q, FakeQueue([job(Args="a\n   9.9   evil")]), "-nobatch")
    assert "sleep a    9.9   evil\n" in text


def test_a_description_stands_for_the_command() -> None:
    assert (
        out(condor_q, FakeQueue([job(JobDescription="my run")]), "-nobatch")
        .splitlines()[4]
        .endswith(" (my run)")
    )


def test_the_batch_table_counts_what_is_left_of_a_cluster() -> None:
    queue = FakeQueue([job(1, proc, 2 if proc < 2 else 1, TotalSubmitProcs=5) for proc in range(5)])
    lines = out(condor_q, queue).splitlines()
    assert lines[3] == "OWNER BATCH_NAME    SUBMITTED   DONE   RUN    IDLE  TOTAL JOB_IDS"
    assert lines[4] == "games ID: 1       11/22 13:19      _      2      3      5 1.0-4"


def test_the_batch_table_gathers_a_name_over_clusters_and_counts_done_jobs() -> None:
    queue = FakeQueue(
        [job(4, 0, JobBatchName="b", TotalSubmitProcs=3), job(6, 1, 2, JobBatchName="b")]
    )
    row = out(condor_q, queue).splitlines()[4]
    assert row.split()[1:] == ["b", "11/22", "13:19", "2", "1", "1", "4", "4.0", "...", "6.1"]


def test_a_batch_name_that_is_an_expression_is_evaluated_in_each_job() -> None:
    jobs = [job(cluster, 0) for cluster in (4, 6)]
    for one in jobs:
        one["JobBatchName"] = 'strcat("b", ClusterId)'
    rows = out(condor_q, FakeQueue(jobs)).splitlines()
    assert [row.split()[1] for row in rows[4:6]] == ["b4", "b6"]


def test_totals_end_with_the_line_that_alien_reads() -> None:
    queue = FakeQueue([job(1, 0, 2), job(1, 1, 6), job(1, 2, 1), job(2, 0, 5), job(3, 0, 7)])
    five = "5 jobs; 0 completed, 0 removed, 1 idle, 2 running, 1 held, 1 suspended"
    assert out(condor_q, queue, "-totals") == TITLE + footer(five, five, five)


def test_totals_with_columns_are_those_of_the_summary_ad() -> None:
    queue = FakeQueue([job(1), job(2), job(3, 0, 2)])
    asked = ("-totals", "-format", "%d ", "Jobs", "-format", "%d ", "Idle")
    assert out(condor_q, queue, *asked) == "3 2 "
    assert out(condor_q, queue, "-totals", "-af", "Jobs", "Running") == "3 1\n"


def test_totals_of_everybody_read_no_job() -> None:
    queue = FakeQueue([job(1), job(2, 0, 4, Owner="bob")])
    everybody = "2 jobs; 1 completed, 0 removed, 1 idle, 0 running, 0 held, 0 suspended"
    assert out(condor_q, queue, "-all", "-totals") == TITLE + footer(everybody, "", everybody)
    assert queue.read == 0


def test_totals_of_a_condition_count_only_its_jobs() -> None:
    queue = FakeQueue([job(1), job(2, 0, 2)])
    text = out(condor_q, queue, "-totals", "-constraint", "JobStatus == 2")
    assert "Total for query: 1 jobs; 0 completed, 0 removed, 0 idle, 1 running," in text
    assert "Total for games@vobox1.example.org: 2 jobs;" in text


def test_root_is_shown_the_jobs_of_all() -> None:
    queue = FakeQueue([job(1), job(2, 0, Owner="bob")])
    assert out(condor_q, queue, "-af", "ClusterId") == "1\n"
    assert out(condor_q, queue, "-global", "-af", "ClusterId") == "1\n"
    assert out(condor_q, queue, "-af", "ClusterId", uid=0) == "1\n2\n"
    assert "Total for games" not in out(condor_q, queue, uid=0)


def test_run_lists_hosts_and_has_no_footer() -> None:
    queue = FakeQueue([job(1), job(2, 0, 2)])
    assert out(condor_q, queue, "-run") == (
        TITLE
        + " ID      OWNER            SUBMITTED     RUN_TIME HOST(S)\n"
        + "   2.0   games          11/22 13:19   0+00:01:06 slot1@node7\n"
    )


def test_hold_lists_reasons() -> None:
    queue = FakeQueue([job(39, 0, 5), job(40)])
    one = "1 jobs; 0 completed, 0 removed, 0 idle, 0 running, 1 held, 0 suspended"
    two = "2 jobs; 0 completed, 0 removed, 1 idle, 0 running, 1 held, 0 suspended"
    assert out(condor_q, queue, "-hold") == (
        TITLE
        + " ID      OWNER          HELD_SINCE  CODE/SUB HOLD_REASON\n"
        + "  39.0   games          11/22 13:24    3/55  bad code\n\n"
        + footer(one, two, two)
        + "\n"
    )


def test_idle_has_a_table_of_its_own() -> None:
    waiting = job(2, RequestCpus=4, RequestMemory=128, JobUniverse=5, NumJobStarts=3)
    waiting["LastRemoteHost"] = '"slot1@node7"'
    text = out(condor_q, FakeQueue([job(1, 0, 2), waiting]), "-idle")
    header, row = text.splitlines()[-2:]
    assert header.split() == ["ID", "OWNER", "UNIVERSE", "CPUS", "MEMORY", "STARTS", "LAST_HOST"]
    assert row.split() == ["2.0", "games", "Vanilla", "4", "128", "3", "slot1@node7"]


def test_a_submitter_that_nobody_knows_is_an_error() -> None:
    queue = FakeQueue([job(1, Owner="bob")], left=[job(2, Owner="carol")])
    answer = ask(condor_q, queue, "-submitter", "nosuch")
    assert (answer.stdout, answer.code) == ("", 1)
    assert answer.stderr == "Error: Collector has no record of schedd/submitter\n"
    for known in ("bob", "carol", "Bob@example.org"):
        assert ask(condor_q, queue, "-submitter", known).code == 0


def test_a_submitter_has_a_title_of_its_own() -> None:
    text = out(condor_q, FakeQueue([job(1, Owner="bob")]), "-submitter", "bob", "-nobatch")
    assert text.startswith(
        "\n\n-- Submitter: bob@vobox1.example.org : <127.0.0.1:36097?... "
        ": vobox1.example.org @ 11/22/26 13:25:12\n"
    )
    assert " bob " in text
    assert "-- Submitter: bob@example.org :" in out(
        condor_q, FakeQueue([job(1, Owner="bob")]), "-submitter", "bob@example.org"
    )


def test_global_with_nothing_at_all_says_so() -> None:
    assert out(condor_q, FakeQueue(), "-global") == "All queues are empty\n"
    other = FakeQueue([job(1, Owner="bob")])
    assert "ID: 1" in out(condor_q, other, "-global", "-allusers")


def test_an_untrusted_queue_is_still_shown_but_the_health_check_fails() -> None:
    queue = FakeQueue([job(1)], trouble="no broker since\n42 s")
    line = (
        "condor_q: warning: answered from the ledger, which may be out of date: "
        "no broker since 42 s\n"
    )
    bare = ask(condor_q, queue)
    assert (bare.code, bare.stderr) == (1, line)
    assert "ID: 1" in bare.stdout
    asked = ask(condor_q, queue, "-af", "ClusterId")
    assert (asked.code, asked.stdout, asked.stderr) == (0, "1\n", line)


def test_the_batch_table_counts_as_htcondor_does() -> None:
    """DONE: what has left the queue; a suspended job is idle."""
    queue = FakeQueue([job(1, 0, 4, TotalSubmitProcs=4), job(1, 1, 7, TotalSubmitProcs=4)])
    (row,) = out(condor_q, queue).splitlines()[4:5]
    assert row.split()[-5:] == ["2", "_", "1", "4", "1.0-1"]
