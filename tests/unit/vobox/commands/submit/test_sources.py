"""What a description takes in besides its own text."""

import pytest

from tests.support.fake_submit_host import CWD, FakeSubmitHost
from vobox.rpc.types import Answer

HEAD = "executable = agent.sh\narguments = $(x)\n"


def arguments(host: FakeSubmitHost, text: str) -> list[str]:
    return [" ".join(job.task.arguments) for job in host.make_jobs(text)]


@pytest.mark.parametrize("word", ["include : common", "INCLUDE:common", "include ifexist : common"])
def test_an_included_text_stands_where_the_line_is(word: str) -> None:
    host = FakeSubmitHost({f"{CWD}/common": b"x = $(y) 2\ny = later\nz = kept\n"})

    assert arguments(host, f"{HEAD}z = 1\n{word}\ny = last\nqueue\n") == ["last 2"]


def test_an_included_text_sees_the_conditions_and_macros_of_the_one_around() -> None:
    host = FakeSubmitHost(
        {
            f"{CWD}/outer": b"if defined on\ninclude : $(name).sub\nendif\n",
            f"{CWD}/inner.sub": b"if true\nx = inner\nelse\nx = else\nendif\n",
        }
    )

    assert arguments(host, f"{HEAD}name = inner\non = 1\ninclude : outer\nqueue\n") == ["inner"]
    assert arguments(host, f"{HEAD}name = nope\ninclude : outer\nqueue\n") == [""]


@pytest.mark.parametrize(
    "line", ["include command : site --name a", "include output : site --name a",
             "include : site --name a |", 'include command : "site --name \'a\'"']
)  # fmt: skip
def test_an_included_command_is_run_by_the_command_that_asked_and_without_a_shell(
    line: str,
) -> None:
    host = FakeSubmitHost()
    host.caller.programs = {("site", "--name", "a"): (0, b"x = CERN\r\n# no\n")}

    assert arguments(host, f"{HEAD}{line}\nqueue\n") == ["CERN"]
    assert host.caller.ran == [("site", "--name", "a")]


def test_a_file_that_need_not_exist_is_passed_over() -> None:
    assert arguments(FakeSubmitHost(), f"{HEAD}include ifexist : nope\nqueue\n") == [""]


def test_what_is_not_reached_is_not_read() -> None:
    host = FakeSubmitHost()
    text = f"{HEAD}if false\ninclude : nope\ninclude command : nope\nuse template : x\nendif\nqueue"

    assert arguments(host, text) == [""]
    assert host.caller.ran == []


@pytest.mark.parametrize(
    ("files", "source", "line", "depth", "problem"),
    [
        ({"a": "x = 1\nfoo bar\n"}, "a", 2, 1, ""),
        (
            {"a": "include : b\n", "b": "\n\n\nerror : no good\n"},
            "b",
            4,
            2,
            '\n|Submit:-1:Error "b", Line 4: no good',
        ),
        ({"a": "queue\n"}, "a", 1, 1, "an included text cannot hold a queue statement"),
        ({"a": "include : a\n"}, "a", 1, 8, "more than 8 texts include each other"),
        ({"a": "endif\n"}, "a", 1, 1, "endif without matching if"),
        (
            {"a": "if true\ninclude : b\nendif\n", "b": "x = 1\nendif\n"},
            "b",
            2,
            2,
            "endif without matching if",
        ),
        (
            {"a": "if true\nx = 1\n"},
            "a",
            2,
            1,
            'endif(s) not found before end-of-file\n|Submit:-1:Error "a", Line 2: ',
        ),
        ({"a": "x = \udcff\n"}, "a", 1, 1, "the line is not UTF-8"),
        ({}, "a", 0, 1, "can't open file a: No such file or directory"),
    ],
)
def test_a_bad_line_is_named_with_the_text_it_is_in(
    files: dict[str, str], source: str, line: int, depth: int, problem: str
) -> None:
    host = FakeSubmitHost(
        {f"{CWD}/{n}": t.encode("utf-8", "surrogateescape") for n, t in files.items()}
    )
    answer = host.submit("include : a\nexecutable = agent.sh\nqueue\n")

    assert answer.code == 1
    assert answer.stderr.startswith('\nERROR: on Line 1 of e.sub: \nSubmit:-1:Error "a", Line ')
    assert answer.stderr.endswith(
        f'\nSubmit:-1:Error "{source}", Line {line}, Include Depth {depth}: {problem}\n'
        "\nERROR: Failed to parse command file (line 1).\n"
    )


@pytest.mark.parametrize(
    ("code", "problem"),
    [(127, "not a valid command, errno=2 : No such file or directory"),
     (3, '"nope 1": command terminated with exit code 3')],
)  # fmt: skip
def test_a_command_that_fails_ends_the_submit(code: int, problem: str) -> None:
    for text, line in ((f"{HEAD}include command : nope 1\nqueue", 3),
                       (f"{HEAD}queue x from nope 1 |", 3)):  # fmt: skip
        host = FakeSubmitHost()
        host.caller.programs = {("nope", "1"): (code, b"x = 1\n")}
        answer = host.submit(text)
        assert answer.code == 1
        assert f"on Line {line} of e.sub: " in answer.stderr
        assert f": {problem}\n" in answer.stderr


def test_a_command_with_bad_quotes_is_refused_unrun() -> None:
    host = FakeSubmitHost()
    answer = host.submit(f'{HEAD}include command : "nope\nqueue\n')

    assert 'Include Depth 1: "nope: Unterminated double-quote.' in answer.stderr
    assert host.caller.ran == []


@pytest.mark.parametrize(
    ("statement", "items"),
    [
        ("queue x matching *.dat", ["a.dat", "b.dat", "d.dat/"]),
        ("queue x matching any (s* a*)", ["sub/", "a.dat", "agent.sh"]),
        ("queue x matching files [1:] (\n *.dat\n)", ["b.dat"]),
        ("queue matching files b.*", ["b.dat"]),
        # macros' brackets open no list, as with HTCondor 25.14.1
        ("queue x from $(here)/$(what:items).txt", ["t1", "t2"]),
        ("queue x from $(what:items).txt", ["t1", "t2"]),
        ("queue x in $(two) c", ["a", "b", "c"]),
        ("queue x in [1:] $(two), c", ["b", "c"]),
        ("queue x matching files $(d:a)*.dat $(d:b).*", ["a.dat", "b.dat"]),
        ("queue x in ( (\nc\n)", ["(", "c"]),
        ("queue x from list |", ["i1", "# no", "", "i2 i3"]),
        ("queue x from [2:] list|", ["", "i2 i3"]),
        ("queue x from -", ["s1", "s2"]),
        ("queue x from [:1] -", ["s1"]),
    ],
)
def test_items_come_from_globs_commands_and_stdin(statement: str, items: list[str]) -> None:
    names = ("a.dat", "b.dat", "d.dat/x", "sub/c.dat")
    host = FakeSubmitHost({f"{CWD}/{name}": b"" for name in names})
    host.files.files[f"{CWD}/items.txt"] = b"t1\nt2\n"
    host.caller.programs = {("list",): (0, b"i1\n# no\n\n i2 i3 \n")}
    host.caller.given = b"s1\ns2\n"
    text = f"executable = agent.sh\nhere = .\ntwo = a b\narguments = $(x)$(Item)\n{statement}\n"

    assert arguments(host, text) == items


def test_what_an_inline_item_names_is_used() -> None:
    text = f"used = 1\n{HEAD}arguments = $(x)\nqueue x from (\n$(used)\n)\n"

    assert FakeSubmitHost().submit(text).stderr == ""


TABLE = "a,b\n1, 2 x\n3,\n"
TABLES = [
    # what HTCondor 25.14.1 makes of each
    ("from table (\na,b\n1, 2 x\n3,\n)", ["1|2 x", "3|"]),
    ("b,a from table t.csv", ["1|2 x", "3|"]),
    ("2 from table [1:] t.csv", ["3|", "3|"]),
    ("a,b from table(csv) t.csv", ["a|b", "1|2 x", "3|"]),
    ("a,b from table(CSV)(\n1 2,3 4\n)", ["1 2|3 4"]),
    ("a,b from table(header=none,sep=;) (\n1; 2 x\n3,4\n)", ["1|2 x", "3,4|"]),
    ("a,b from table(header=none,comma_sep=false) (\n1 2,3\n)", ["1|2,3"]),
    ("from table(header=1) (\njunk\na,b\n1,2\n3,4\n)", ["junk|", "1|2", "3|4"]),
    ("from table(header=1,skip=1) (\njunk\na,b\n1,2\n3,4\n)", ["1|2", "3|4"]),
    ("from table (\na b,c\n1,2\n)", ["|", "|"]),
    ("a,b from table(standard) (\n1 2\n)", ["1|2"]),
    ("a,b from table(foo=1) t.csv", ["1|2 x", "3|"]),
]


@pytest.mark.parametrize("keyword", ["queue", "ITERATE"])
@pytest.mark.parametrize(("statement", "items"), TABLES)
def test_a_table_names_its_variables_itself(keyword: str, statement: str, items: list[str]) -> None:
    host = FakeSubmitHost({f"{CWD}/t.csv": TABLE.encode()})
    text = f"executable = agent.sh\narguments = $(a)|$(b)\n{keyword} {statement}\n"

    assert arguments(host, text) == items


@pytest.mark.parametrize(
    "statement",
    ["in files *.dat", "in any (\na\n)", "from dirs d/", "in table t.csv", "matching table(csv) x"],
)
def test_a_word_of_another_form_of_queue_is_refused(statement: str) -> None:
    # as HTCondor 25.14.1
    answer = FakeSubmitHost().submit(f"{HEAD}queue x {statement}\n")

    assert answer.code == 1
    assert ": Queue keyword conflict\n" in answer.stderr


def test_a_file_may_be_called_table() -> None:
    host = FakeSubmitHost({f"{CWD}/table": b"1 2\n"})
    text = "executable = agent.sh\narguments = $(a)|$(b)\nqueue a,b from table\n"

    assert arguments(host, text) == ["1|2"]


@pytest.mark.parametrize(
    "argv",
    [
        ("-iterate", "from", "table", "t.csv"), ("-table", "t.csv", "e.sub"),
        ("-queue", "from", "table", "-", "e.sub"),
    ],
)  # fmt: skip
def test_a_table_may_be_named_on_the_command_line(argv: tuple[str, ...]) -> None:
    description = "executable = agent.sh\narguments = $(a)|$(b)\n"
    host = FakeSubmitHost({f"{CWD}/t.csv": TABLE.encode(), f"{CWD}/e.sub": description.encode()})
    host.caller.given = TABLE.encode()
    answer = host.run("-terse", *argv, *([] if "e.sub" in argv else ["-file", "e.sub"]))

    assert answer == Answer("7.0 - 7.1\n")
    jobs = host.target.submitted[-1][1]
    assert [" ".join(job.task.arguments) for job in jobs] == ["1|2 x", "3|"]


@pytest.mark.parametrize(
    ("statement", "items"), [("from -", ["s1", "s2", "# 3", "4 5"]), ("from [3:] -", ["4 5"])]
)
def test_items_may_follow_a_description_on_stdin(statement: str, items: list[str]) -> None:
    host = FakeSubmitHost()
    text = f"{HEAD}queue x {statement}\ns1\n s2\n# 3\n4 \\\n 5\n"

    assert host.run("-terse", stdin=text) == Answer(f"7.0 - 7.{len(items) - 1}\n")
    assert [" ".join(job.task.arguments) for job in host.target.submitted[-1][1]] == items


def test_a_name_that_matches_twice_is_taken_once_with_a_warning() -> None:
    host = FakeSubmitHost({f"{CWD}/a.dat": b""})
    answer = host.submit(f"{HEAD}queue x matching a.* *.dat\n")

    assert answer.stderr == (
        "WARNING: 'a.dat' matching pattern '*.dat' is a duplicate of item 0, skipping\n"
    )
    assert "1 job(s) submitted" in answer.stdout


def test_a_description_without_a_caller_cannot_run_commands() -> None:
    host = FakeSubmitHost()
    host.caller = None  # type: ignore[assignment]
    answer = host.submit(f"{HEAD}queue x from seq 3 |\n")

    assert "seq 3: commands cannot be run for this condor_submit" in answer.stderr
