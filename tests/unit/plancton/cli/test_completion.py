"""The completion script of planctonctl, run by the shell that it is for."""

import subprocess

import pytest

from commandline.completion import build_script
from plancton.cli.main import COMMANDS, main, make_parser
from tests.support.bash_completion import complete

SCRIPT = build_script(make_parser())


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["planctonctl", "star"], {"start"}),
        (["planctonctl", "drain"], {"drain", "drain-stop"}),
        (["planctonctl", "--user", "stat"], {"status"}),
        (["planctonctl", "status", "--j"], {"--json"}),
        (["planctonctl", "nodaemon", "--j"], set()),
        (["planctonctl", "report", "--o"], {"--output"}),
        (["planctonctl", "completion", ""], {"bash", "zsh", "-h", "--help", "--user", "--logdir",
                                             "--rundir", "--confdir", "--pidfile"}),
    ],
)  # fmt: skip
def test_bash_completes(words: list[str], offered: set[str]) -> None:
    assert complete(SCRIPT, words) == offered


def test_every_command_is_offered() -> None:
    assert set(COMMANDS) <= complete(SCRIPT, ["planctonctl", ""])


def test_hidden_options_are_not_offered() -> None:
    offered = complete(SCRIPT, ["planctonctl", "nodaemon", "--"])
    assert "--help" in offered
    assert not any("log-file" in word for word in offered)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_command_prints_the_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    printed = capsys.readouterr().out
    assert printed.endswith(SCRIPT)
    assert printed.startswith("autoload") is (shell == "zsh")


@pytest.mark.needs("zsh")
def test_zsh_registers_the_script_and_gets_the_words_of_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["completion", "zsh"])
    script = (
        f"{capsys.readouterr().out}\n"
        'print -r -- "$_comps[planctonctl]"\n'
        "COMP_WORDS=(planctonctl --user status --j); COMP_CWORD=3\n"
        # as bashcompinit calls it; zsh itself compares with what is typed
        "() { emulate -L sh; setopt kshglob noshglob braceexpand; _planctonctl }\n"
        "print -l -- $COMPREPLY"
    )
    done = subprocess.run(
        ["zsh", "-fc", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    registered, *offered = done.stdout.splitlines()
    assert registered.endswith("-F _planctonctl")
    assert "--json" in offered
    assert "start" not in offered
