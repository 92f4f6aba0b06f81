"""Which jobs condor_q is about, and what it says to a wrong command line: contract, 3.1 and 3.6."""

import pytest

from tests.support.fake_query_queue import FakeQueue, ask, job, out
from tests.support.schedd_parts import Expression
from vobox.commands.query.condor_q import answer as condor_q
from vobox.commands.query.condor_q_options import OPTIONS

QUEUE = FakeQueue(
    [
        job(1, 0, 1),
        job(1, 1, 2),
        job(2, 0, 5),
        job(3, 0, 1, Owner="bob", User="bob@example.org"),
        job(4, 0, 7),
    ]
)


def ids(*argv: str, user: str = "games", view: FakeQueue = QUEUE) -> list[str]:
    return out(condor_q, view, *argv, "-af:j", "ClusterId", user=user).split()[::2]


@pytest.mark.parametrize(
    ("argv", "found"),
    [
        ([], "1.0 1.1 2.0 4.0"),
        (["01.01"], "1.1"),
        (["3"], "3.0"),
        (["BOB"], "3.0"),
        (["bob@example.org"], "3.0"),
        (["bob@elsewhere.org"], ""),
        (["bob", "1.0"], "1.0 3.0"),
        (["", "1.0"], "1.0"),
        (["99999999999999999999.0"], ""),
        (['x"y'], ""),
        (["-submitter", "bob"], "3.0"),
        (["-submitter", "bob@example.org"], "3.0"),
        (["-submitter", "bob", "2"], "2.0 3.0"),
        (["-all"], "1.0 1.1 2.0 3.0 4.0"),
        (["-global"], "1.0 1.1 2.0 4.0"),
        (["-g", "-allusers"], "1.0 1.1 2.0 3.0 4.0"),
        (["-all-users"], "1.0 1.1 2.0 3.0 4.0"),
        (["-run"], "1.1 4.0"),
        (["-idle"], "1.0"),
        (["-held"], "2.0"),
        (["-all", "-idle"], "1.0 3.0"),
        (["1", "-idle"], "1.0"),
        (["-hold", "-held"], "2.0"),
        (["-all", "-limit", "99"], "1.0 1.1 2.0 3.0 4.0"),
        (["-constraint", "JobStatus < 3"], "1.0 1.1"),
        (["-c", "JobStatus == 1", "-all"], "1.0 3.0"),
        (["1", "bob", "-const", "ProcId == 0"], "1.0 3.0"),
        (["-const", "Nope == 1"], ""),
        (["-const", "Nope =?= undefined", "-limit", "1"], "1.0"),
        (["-const", "1/0"], ""),
        (["-const", '"true"'], ""),
        (["-const", "true", "1.0"], "1.0"),
        (["-const", "0"], ""),
        (["-const", 'Owner == "GAMES" && RemoteHost isnt undefined'], "1.1"),
        (["-const", "MY.JobStatus == 5"], "2.0"),
        (["-const", "CurrentTime - QDate > 300 && JobStatus == 5"], "2.0"),
        (["-const", "TARGET.Nope"], ""),
        (["-const", 'eval("JobStatus") == 5'], "2.0"),
        (["-name", "vobox1.example.org", "1.0"], "1.0"),
        (["-name", "vobox1", "-pool", "vobox1.example.org:9619", "1.0"], "1.0"),
        (["-direct", "schedd", "1.0"], "1.0"),
        (["-wide:200", "-debug:D_ALL", "-expert", "-D", "D_ALL", "1.0"], "1.0"),
    ],
)
def test_selection(argv: list[str], found: str) -> None:
    assert ids(*argv) == found.split()


def test_own_jobs_are_the_callers() -> None:
    assert ids(user="bob") == ["3.0"]
    assert ids(user="nobody") == []


def test_an_id_reads_only_its_cluster() -> None:
    queue = FakeQueue([job(1), job(2), job(3)])
    assert ids("2", "2.0", view=queue) == ["2.0"]
    assert queue.read == 1


@pytest.mark.parametrize("prefix", ["_condor_", "_CONDOR_", "_Condor_"])
@pytest.mark.parametrize("value", ["false", "FALSE", "no", "0"])
def test_the_environment_switches_the_own_jobs_default_off(prefix: str, value: str) -> None:
    env = {f"{prefix}CONDOR_Q_ONLY_MY_JOBS": value, "_condor_SEC_CLIENT_AUTHENTICATION": "x"}
    answer = ask(condor_q, QUEUE, "-af", "ClusterId", env=env, user="nobody")
    assert answer.stdout == "1\n1\n2\n3\n4\n"
    assert answer.stderr == ""


def test_the_environment_switches_the_batch_table_off() -> None:
    env = {"_condor_condor_q_dash_batch_is_default": "False"}
    assert " 1.0   games " in ask(condor_q, QUEUE, env=env).stdout
    assert "BATCH_NAME" in ask(condor_q, QUEUE, "-batch", env=env).stdout
    assert "BATCH_NAME" in ask(condor_q, QUEUE, env={"_condor_x": "1"}).stdout


def test_an_environment_that_is_neither_yes_nor_no_changes_nothing() -> None:
    env = {"_condor_CONDOR_Q_ONLY_MY_JOBS": "maybe"}
    answer = ask(condor_q, QUEUE, "-af", "ClusterId", env=env, user="nobody")
    assert answer.stdout == ""


#: The least length that the contract gives, and what the spelling then does.
@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("-c", "constraint"),
        ("-l", "long"),
        ("-f", "format"),
        ("-n", "name"),
        ("-g", "global"),
        ("-s", "submitter"),
        ("-r", "run"),
        ("-idl", "idle"),
        ("-ho", "hold"),
        ("-js", "json"),
        ("-xml", "xml"),
        ("-af", "af"),
        ("-autof", "autoformat"),
        ("-at", "attributes"),
        ("-tot", "totals"),
        ("-lim", "limit"),
        ("-p", "pool"),
        ("-nob", "nobatch"),
        ("-ba", "batch"),
        ("-al", "allusers"),
        ("-w", "wide"),
        ("-io", "io"),
        ("-v", "version"),
        ("-h", "help"),
        ("-da", "dag"),
        ("-gri", "grid"),
        ("-cp", "cputime"),
        ("-cu", "currentrun"),
        ("-be", "better-analyze"),
        ("-d", "direct"),
        ("--hold", "hold"),
        ("--name", "name"),
        ("--af:j", "af"),
        ("--better-analyze:x", "better-analyze"),
    ],
)
def test_the_shortest_spelling(short: str, full: str) -> None:
    first = next(option for option in OPTIONS if option.matches(short))
    assert first.name == full


@pytest.mark.parametrize("word", ["-zzz", "-", "--", "-1", "-longer", "--lon", "--ho", "-x", "-id"])
def test_an_unknown_option_is_an_error_with_usage(word: str) -> None:
    answer = ask(condor_q, QUEUE, word)
    assert answer.stderr.splitlines()[0] == f"Error: unrecognized argument {word}"
    assert answer.stdout.startswith("Usage: condor_q ")
    assert answer.code == 1


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("-nobacth", "nobatch"),
        ("--constrain", "constraint"),
        ("-beter-analyze:r", "better-analyze"),
    ],
)
def test_a_misspelt_option_is_told_the_nearest(word: str, near: str) -> None:
    answer = ask(condor_q, QUEUE, word)
    assert answer.stderr == f"Error: unrecognized argument {word}\nDid you mean -{near}?\n"


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["-limit", "9" * 5000], "Error: -1 is not a valid for -limit."),
        (["-direct", "quilld"], "Error: -direct quilld: there is only the schedd to ask"),
        (["-constraint", "Foo ("], "Error: Failed to parse constraint: Foo ("),
        (["-constraint", "1; b = 2"], "Error: Failed to parse constraint: 1; b = 2"),
        (["-long:new"], "Error: -long:new is not supported here: use -long or -json"),
        (
            ["-io"],
            "Error: -io is not supported here: print attributes with -af or -format",
        ),
    ],
)
def test_a_wrong_argument_is_one_line_on_stderr(argv: list[str], line: str) -> None:
    answer = ask(condor_q, QUEUE, *argv)
    assert answer.stderr == line + "\n"
    assert (answer.stdout, answer.code) == ("", 1)


def test_another_pool_cannot_be_asked() -> None:
    answer = ask(condor_q, QUEUE, "-pool", "ce.elsewhere.org:9619", "1.0")
    assert answer.stderr.startswith(
        "Error: Couldn't contact the condor_collector on ce.elsewhere.org:9619.\n\nExtra Info: "
    )
    assert (answer.stdout, answer.code) == ("", 1)


def test_an_endless_expression_cannot_stop_the_schedd() -> None:
    answer = ask(condor_q, QUEUE, "-constraint", "a" + ".a" * 100_000)
    assert answer.code == 1
    queue = FakeQueue([job(Chain=Expression("a" + ".a" * 100_000))])
    assert out(condor_q, queue, "-af", "Chain") == "error\n"


def test_a_name_that_is_not_utf8_matches_no_job() -> None:
    assert ids("caf\udce9") == []
    answer = ask(condor_q, QUEUE, "-\udce9")
    assert answer.stderr == "Error: unrecognized argument -\\udce9\n"
