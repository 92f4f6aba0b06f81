"""The submit language: what is expanded, queued and counted, and whatever else may be written."""

import pytest

from tests.support.fake_submit_host import CWD, NOW, FakeCaller, FakeFiles, FakeSubmitHost
from vobox.commands.submit.input_files import FileCache
from vobox.commands.submit.macros import Expander
from vobox.commands.submit.sources import TextSources

FILES = FakeFiles({})
SOURCES = TextSources(FILES, FileCache(FILES), CWD, FakeCaller())


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a = \\\n b\n\n$osb\nqueue\n", 4, ""),
        ("+ Foo = 1\nqueue\n", 1, ""),
        ("executable = agent.sh\nqueue\ntrailing words\n", 3, ""),
        (
            "a = 1\nif false\nqueue\n",
            3,
            'endif(s) not found before end-of-file\nSubmit:-1:Error "e.sub", Line 3: ',
        ),
        (
            "if maybe\nendif\n",
            1,
            "maybe is not a valid if condition because expression is not a conditional",
        ),
        ("warning careful\n", 1, "warning needs ': TEXT'"),
        ("error\n", 1, "error needs ': TEXT'"),
        ("include nope\n", 1, "include needs ': FILE', or 'command : COMMAND'"),
        ("include : $(nope)\n", 1, "include needs ': FILE', or 'command : COMMAND'"),
        (
            "include command into x : cat y\n",
            1,
            "include into a file is not supported; run the command beforehand",
        ),
        (
            "include : nope 1 |\n",
            1,
            '\nSubmit:-1:Error "nope 1 |", Line 0, Include Depth 1: '
            "not a valid command, errno=2 : No such file or directory",
        ),
        (
            "use template : x\n",
            1,
            "use template : x: this schedd has no templates; write its lines out",
        ),
        (
            "executable = agent.sh\nqueue x from nope -l |\n",
            2,
            "not a valid command, errno=2 : No such file or directory",
        ),
        ("executable = agent.sh\nqueue x matching\n", 2, "Invalid Queue count expression"),
        ("if true\nelse\nelse\nendif\n", 3, "else is not allowed after else"),
        (
            "if 0\nelif a b\nendif\n",
            2,
            "a b is not a valid elif condition because complex conditionals are not supported",
        ),
        ("+x += 3\n", 1, ""),
        ("a = \udcff\n", 1, "the line is not UTF-8"),
        ("x = 1\0\n", 1, "the line holds a zero byte"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(text: str, line: int, problem: str) -> None:
    answer = FakeSubmitHost().submit(text)

    assert answer.code == 1
    assert answer.stdout == "Submitting job(s)"
    assert answer.stderr == (
        f"\nERROR: on Line {line} of e.sub: {problem}\n"
        f"\nERROR: Failed to parse command file (line {line}).\n"
    )


@pytest.mark.parametrize(("condition", "taken"), [("$(z)", "f"), ("!$(z)", "t"), ("! $(z)", "t")])
def test_a_condition_that_expands_to_nothing_is_false(condition: str, taken: str) -> None:
    # as HTCondor 25.14.1
    text = f"if {condition}\narguments = t\nelse\narguments = f\nendif\n"
    job = FakeSubmitHost().make_job(f"executable = agent.sh\n{text}queue\n")

    assert job.task.arguments == (taken,)


def test_a_macro_that_names_itself_by_way_of_another_is_refused_not_followed() -> None:
    answer = FakeSubmitHost().submit(
        "executable = agent.sh\nx = $(y)\ny = $(x)\narguments = $(x)\nqueue\n"
    )

    assert answer.code == 1
    assert answer.stderr == "ERROR: the macro $(x) refers to itself: x -> y -> x\n"


def test_macros_that_double_32_times_are_refused_at_once() -> None:
    lines = [f"m{n} = $(m{n - 1})$(m{n - 1})" for n in range(1, 30)]
    answer = FakeSubmitHost().submit(
        "\n".join(["executable = agent.sh", "m0 =", *lines, "arguments = $(m29)", "queue"])
    )

    assert answer.code == 1
    assert "a value names more than 100000 macros" in answer.stderr


@pytest.mark.parametrize(
    "value",
    ["$ENV(SECRET)", "$(D)NV(SECRET)", "$ENV($(S))", "$(E)(SECRET)", "$(DOLLAR)ENV(SECRET)"],
)
def test_only_the_submitters_environment_is_seen(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "the-schedds-own")
    job = FakeSubmitHost().make_job(
        f"executable = agent.sh\nD = $E\nE = $ENV\nS = SECRET\narguments = {value}\nqueue\n"
    )

    assert "the-schedds-own" not in repr(job)


def test_dollar_env_is_the_clients_environment() -> None:
    host = FakeSubmitHost()
    host.env["SITE"] = "CERN"
    job = host.make_job(
        "executable = agent.sh\narguments = $ENV(SITE) $ENV(NOPE) $ENV(NOPE:x)\nqueue\n"
    )

    assert job.task.arguments == ("CERN", "UNDEFINED", "x")


def test_assignments_apply_to_later_queue_statements_and_procs_go_on_counting() -> None:
    jobs = FakeSubmitHost().make_jobs(
        "executable = agent.sh\n"
        "arguments = one $(Process)\nqueue 2\n"
        "arguments = two $(ProcId)\nqueue\n"
        "arguments = three\n"
    )

    assert [job.task.arguments for job in jobs] == [("one", "0"), ("one", "1"), ("two", "2")]
    assert {job.ad["ClusterId"] for job in jobs} == {"7"}
    assert {job.ad["TotalSubmitProcs"] for job in jobs} == {"3"}


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        ("Queue x in s1,s2", ["s1", "s2"]),
        ("queue x in (\n  a\n # no\n b c\n)", ["a", "b", "c"]),
        ("queue x from items.txt", ["i1", "# no", "", "i2 i3"]),
        ("queue x from joined.txt", ["#ff0000 red", "blue sky", "", "green"]),
        ("queue x from (\n a\n\n # no\n b\n)", ["a", "", "b"]),
        ("queue x in [+1:2:](a b c)", ["b"]),
        ("queue x in ()", []),
        ("queue $(N)", ["", "", ""]),
        ("queue", [""]),
        ("", [""]),
        ("if true\nqueue", [""]),
    ],
)
def test_the_queue_statement_says_which_jobs(statement: str, values: list[str]) -> None:
    # as HTCondor 25.14.0 reads them: every line of a file is an item
    host = FakeSubmitHost(
        {
            f"{CWD}/items.txt": b"i1\n# no\n\n i2 i3 \n",
            f"{CWD}/joined.txt": b"#ff0000 red\nblue \\\nsky\n\ngreen\n",
        }
    )
    text = f'executable = agent.sh\nN = 3\n+Item = "$(x)"\n{statement}\n'
    answer = host.submit(text)

    assert answer.code == 0, answer
    jobs = host.target.submitted[-1][1] if host.target.submitted else []
    assert [job.ad.text("Item") for job in jobs] == values


@pytest.mark.parametrize("text", ["[x]", "[ 1 ]", "[1 :2]", "[1:2:1:1]", "[::0]", "[::-1]"])
def test_what_is_no_slice_is_refused(text: str) -> None:
    # HTCondor 25.14.1 crashes at a step of 0 or less
    answer = FakeSubmitHost().submit(f"executable = agent.sh\nqueue x in {text} (a b)\n")
    assert answer.code == 1
    assert answer.stderr.startswith("\nERROR: on Line 2 of ")
    assert "Invalid [::] statement\n" in answer.stderr


def test_the_limit_of_jobs_is_of_all_queue_statements_together() -> None:
    host = FakeSubmitHost()
    host.target.max_jobs = 5

    assert len(host.make_jobs("executable = agent.sh\nqueue 2\nqueue 3\n")) == 5
    answer = host.submit("executable = agent.sh\nqueue 2\nqueue 3\nqueue\n")

    assert answer.code == 1
    assert "would exceed MAX_JOBS_PER_SUBMISSION (5)" in answer.stderr
    assert len(host.target.submitted) == 1


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        ("$(" * 100_000, "$(" * 100_000),
        ("$(" * 100_000 + "ProcId)", "$(" * 99_999 + "0"),
        ("(" * 300_000 + "$(ProcId)", "(" * 300_000 + "0"),
    ],
    ids=["never closed", "the last closed", "after parentheses"],
)
def test_brackets_without_end_are_read_once(value: str, meaning: str) -> None:
    answer = FakeSubmitHost().submit(
        f'executable = agent.sh\n+A = "x"\nlog_notes = {value}\nqueue\n'
    )
    expander = Expander(lambda name: {"procid": "0"}.get(name.lower()), {})

    assert answer.code == 0, answer.stderr[:300]
    assert expander.expand(value) == meaning


def test_macros_that_are_nested_too_deep_are_refused() -> None:
    answer = FakeSubmitHost().submit(f"executable = $(a:{'$(a:' * 5000}x{')' * 5000})\nqueue\n")

    assert answer.code == 1
    assert "ERROR: macros are nested too deep: $(a:$(a:" in answer.stderr


def test_more_jobs_than_htcondors_limit_are_refused_before_one_is_made() -> None:
    answer = FakeSubmitHost().submit("executable = agent.sh\nqueue 1000000000\n")

    assert answer.code == 1
    assert "would exceed MAX_JOBS_PER_SUBMISSION (20000)" in answer.stderr


def test_the_date_macros_come_from_the_clock_of_the_submit() -> None:
    job = FakeSubmitHost().make_job(
        "executable = agent.sh\narguments = $(SUBMIT_TIME) $(SUBMIT_FILE)\nqueue\n"
    )

    assert job.task.arguments == (str(NOW), "e.sub")
