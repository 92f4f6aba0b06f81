"""What condor_submit refuses, in which words and with which exit code."""

import stat

import pytest

from tests.support.fake_submit_host import CWD, HEAD, FakeSubmitHost
from vobox.commands.submit import budget, condor_submit
from vobox.commands.submit.description import ExtraLines, read_description
from vobox.commands.submit.input_files import FileCache
from vobox.commands.submit.options import USAGE
from vobox.commands.submit.sources import TextSources

ONE = "executable = agent.sh\nqueue 1"
THREE = "executable = agent.sh\nqueue 3\n"


@pytest.mark.parametrize(
    ("argv", "stderr"),
    [
        (("-name", "other"), "\nERROR: Can't find address of schedd other\n"),
        (("-remote", "ce"), "\nERROR: Can't find address of schedd ce\n"),
        (("-interactive",), "condor_submit: -interactive is not supported here: jobs have no "
                            "terminal\n"),
        (("-zzz",), f"{USAGE}Error: unknown option -zzz\n"),
        (("-version",), USAGE),
        (("--ter",), f"{USAGE}Error: unknown option --ter, did you mean '-terse'?\n"),
        (("-trese",), f"{USAGE}Error: unknown option -trese, did you mean '-terse'?\n"),
        (("-maxjobs", "x"), "Error: Unable to convert argument (x) to a number for -maxjobs.\n"),
        (("-maxjobs", "-2"), "Error: -2 is not a valid for -maxjobs.\n"),
        (("-q", "1", "-q", "2"), "condor_submit: only one -q command allowed\n"),
        (("-it", "1", "-table", "f"), "condor_submit: only one -table command allowed\n"),
        (("-q", "-v"), "condor_submit: -q requires at least one argument\n"),
        (("9 x=1",), "condor_submit: invalid attribute name '9 x' for attrib=value assigment\n"),
        (("-dry", "a", "-dump", "b"),
         "condor_submit: -dump <file> and -dry-run <file> cannot be used together\n"),
        (("-dry:hash", "a"), "unknown option hash for -dry-run:<opts>\n"),
    ],
)  # fmt: skip
def test_a_bad_command_line_is_refused_before_anything_is_read(
    argv: tuple[str, ...], stderr: str
) -> None:
    host = FakeSubmitHost()
    answer = host.submit(ONE, *argv)

    assert (answer.code, answer.stdout, answer.stderr) == (1, "", stderr)
    assert host.files.read_paths == []


@pytest.mark.parametrize(
    "option", ["-append", "-file", "-name", "-pool", "-maxjobs", "-batch-name", "-batch-id"]
)
def test_an_option_without_its_value_is_refused(option: str) -> None:
    answer = FakeSubmitHost().run(option)

    assert (answer.code, answer.stderr) == (
        1,
        f"condor_submit: {option} requires another argument\n",
    )


def test_a_bad_appended_line_is_named_by_its_number() -> None:
    answer = FakeSubmitHost().submit(ONE, "-a", "x = 1", "-a", "foo bar")

    assert answer.code == 1
    assert answer.stderr == (
        "\nERROR: on Line 0 of <append>: foo bar\n\nERROR: Failed to parse -a argument line (#2).\n"
    )


def test_a_signal_of_more_digits_than_python_converts_is_refused() -> None:
    answer = FakeSubmitHost().submit(
        f"executable = x\ntransfer_executable = false\nkill_sig = {'9' * 5000}\nqueue\n"
    )

    assert answer.code == 1
    assert "invalid signal 999" in answer.stderr


@pytest.mark.parametrize("text", ["abc", "(30)", "9" * 5000])
def test_a_kill_sig_timeout_that_begins_with_no_number_is_refused(text: str) -> None:
    answer = FakeSubmitHost().submit(f"executable = agent.sh\nkill_sig_timeout = {text}\nqueue\n")

    assert answer.code == 1
    assert f"kill_sig_timeout={text} is invalid, must eval to an integer." in answer.stderr


def test_a_huge_description_is_refused_unread() -> None:
    host = FakeSubmitHost({f"{CWD}/big.sub": b"\n" * (4 * 1024 * 1024 + 1)})
    answer = host.run("big.sub")

    assert answer.code == 1
    assert "big.sub has 4194305 bytes; a submit description may have 4194304" in answer.stderr
    assert host.files.read_paths == []


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFCHR])
def test_a_pipe_or_device_is_never_opened(kind: int) -> None:
    host = FakeSubmitHost({f"{CWD}/odd": b""})
    host.files.special[f"{CWD}/odd"] = kind | 0o644

    assert "(odd) (Not a regular file)" in host.run("odd").stderr
    assert "odd: Not a regular file" in host.submit("executable = odd\nqueue\n").stderr
    assert f"{CWD}/odd" not in host.files.read_paths


@pytest.mark.parametrize(
    ("text", "stderr"),
    [
        (
            "executbale = /bin/true\nqueue\n",
            "ERROR: No 'executable' parameter was provided; did you mean it by 'executbale'?\n",
        ),
        ("executable = empty\nqueue\n",
         f"\nERROR: Executable file {CWD}/empty has zero length\n"),
        ("executable = dos\nqueue\n",
         f"\nERROR: Executable file {CWD}/dos is a script with CRLF (DOS/Windows) line endings.\n"
         "This generally doesn't work, and you should probably run "
         f"'dos2unix {CWD}/dos' -- or a similar tool -- before you resubmit.\n"),
    ],
)  # fmt: skip
def test_a_job_that_cannot_be_made_is_refused_in_htcondors_words(text: str, stderr: str) -> None:
    host = FakeSubmitHost({f"{CWD}/empty": b"", f"{CWD}/dos": b"#!/bin/sh\r\necho\r\n"})
    answer = host.submit(text)

    assert (answer.code, answer.stdout, answer.stderr) == (1, "Submitting job(s)", stderr)
    assert not host.target.submitted


def test_the_schedds_refusal_is_the_error() -> None:
    answer = FakeSubmitHost(refuses="the broker is not reachable").submit(ONE)

    assert (answer.code, answer.stdout) == (1, "Submitting job(s).")
    assert answer.stderr == "\nERROR: the broker is not reachable\n"


@pytest.mark.parametrize("name", ["PreCmd", "postcmd"])
def test_commands_beside_the_job_are_refused(name: str) -> None:
    answer = FakeSubmitHost().submit(f'{HEAD}+{name} = "prep.sh"\nqueue\n')
    assert answer.code == 1
    assert f"+{name}: pilots run no command before or after the job" in answer.stderr


def test_a_submit_that_takes_too_much_cpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "MAX_CPU_SECONDS", -1)
    host = FakeSubmitHost()
    answer = host.submit(THREE)
    assert answer.code == 1
    assert answer.stderr.startswith(
        "\nERROR: on Line 1 of e.sub: this submit took more than -1 s of CPU; submit fewer jobs at "
        "once, or shorter macros\n"
    )


def test_a_value_that_doubles_with_each_line_is_refused() -> None:
    lines = "x = 12345678\n" + "x = $(x)$(x)\n" * 40
    answer = FakeSubmitHost().submit(f"{HEAD}{lines}queue\n")
    assert answer.code == 1
    assert "a value is longer than 4194304 characters: $(x)$(x)..." in answer.stderr


@pytest.mark.parametrize(
    "lines",
    [
        "".join(f'+A{number} = "$(x)"\n' for number in range(300)),
        "".join(
            f"x{number} = 1234\n" + f"x{number} = $(x{number})$(x{number})\n" * 19
            for number in range(20)
        ),
        "warning : $(x)\n" * 300,
    ],
    ids=["in a job", "in the description", "in warnings"],
)
def test_values_that_are_too_long_together_are_refused(lines: str) -> None:
    """300 attributes of 150 kB are no job that a message can carry."""
    once = "y = " + "1" * 1000 + "\nx = " + "$(y)" * 150 + "\n"
    answer = FakeSubmitHost().submit(f"{HEAD}{once}{lines}\nqueue\n")
    assert answer.code == 1
    assert "the values of this description have more than 33554432 characters" in answer.stderr


def test_a_description_is_not_kept_again_for_each_queue_statement() -> None:
    text = "".join(f"x{number} = 1\nwarning : $(x{number})\nqueue 0\n" for number in range(50))
    host = FakeSubmitHost()
    sources = TextSources(host.files, FileCache(host.files), CWD, host.caller)
    steps = read_description(text, "e.sub", ExtraLines(), {}, {}, sources).queue_statements
    assert [len(each.symbols) + len(each.mentions) for each in steps] == [2] * 50


def test_a_submit_whose_ads_are_too_long_together_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The schedd holds all jobs of a submit at once: 80 of 3 MB took 225 MB."""
    monkeypatch.setattr(condor_submit, "MAX_CHARACTERS", 200_000)
    text = f"{HEAD}arguments = {'x' * 50_000}"
    assert FakeSubmitHost().submit(f"{text}\nqueue 100\n").code == 0  # all share it
    answer = FakeSubmitHost().submit(f"{text}$(Process)\nqueue 100\n")
    assert answer.code == 1
    assert answer.stderr == (
        "\nERROR: the ads of 4 jobs have more than 200000 characters; submit fewer jobs at once, "
        "or shorter values\n"
    )


def test_a_submit_whose_ads_have_too_many_attributes_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(condor_submit, "MAX_ATTRIBUTES", 1000)
    assert FakeSubmitHost().submit(f"{HEAD}queue 3\n").code == 0
    more = "".join(f"+A{number} = 1\n" for number in range(400))
    answer = FakeSubmitHost().submit(f"{HEAD}{more}queue 3\n")
    assert answer.code == 1
    assert answer.stderr.endswith(
        "\nERROR: the ads of 3 jobs have more than 1000 attributes; submit fewer jobs at once, or "
        "fewer attributes\n"
    )


def test_an_item_that_no_ad_can_hold_is_refused() -> None:
    answer = FakeSubmitHost().submit(f"{HEAD}queue output from (\nb\0\n)\n")
    assert answer.code == 1
    assert answer.stderr == "\nERROR: 'b\\x00' has a NUL character, or is not UTF-8\n"


@pytest.mark.parametrize(
    "call", ["$INT(n)", "$CHOICE(n,a)", "$SUBSTR(x,n)", "$RANDOM_INTEGER(1,n)"]
)
def test_a_number_without_bounds_is_no_integer(call: str) -> None:
    answer = FakeSubmitHost().submit(f"{HEAD}n = 1e5000\narguments = {call}\nqueue\n")
    assert answer.code == 1 and "is not an integer" in answer.stderr


def test_no_spelling_of_a_command_in_an_ad_gets_round_its_refusal() -> None:
    host = FakeSubmitHost({f"{CWD}/x": b"x"})
    for line in ('+Cmd = "/x"', "+JobUniverse = 7", '+Owner = "root"', '+Environment = "A=1"',
                 '+TransferInput = "x"', '+x509userproxy = "/x"', "+JobStatus = 4"):  # fmt: skip
        assert host.submit(f"{HEAD}{line}\nqueue\n").code == 1, line


def test_of_very_many_warnings_not_all_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(condor_submit, "MAX_WARNINGS", 1000)
    lines = "".join(f"unknown{number} = 1\n" for number in range(100))
    answer = FakeSubmitHost().submit(f"{HEAD}{lines}queue\n")
    assert answer.code == 0
    assert answer.stderr.endswith("WARNING: there are more warnings, which are not shown\n")
    assert 1000 < len(answer.stderr) < 1200
