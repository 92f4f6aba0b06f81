"""The completion script of planctonctl, run by the shell that it is for."""

from __future__ import annotations

import shlex
import shutil
import subprocess

import pytest

from commandline.completion import build_script
from plancton.cli.main import COMMANDS, main, make_parser

BASH = shutil.which("bash") or "bash"
ZSH = shutil.which("zsh")


def complete(*words: str) -> set[str]:
    """Return what bash offers for the last of these words."""
    line = " ".join(shlex.quote(word) for word in words)
    script = (
        f"{build_script(make_parser())}\n"
        f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}\n"
        '_planctonctl; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        [BASH, "-uc", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return set(done.stdout.split())


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
    assert complete(*words) == offered


def test_every_command_is_offered() -> None:
    assert set(COMMANDS) <= complete("planctonctl", "")


def test_hidden_options_are_not_offered() -> None:
    assert not any("log-file" in word for word in complete("planctonctl", "nodaemon", "--"))


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_command_prints_the_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    printed = capsys.readouterr().out
    assert printed.endswith(build_script(make_parser()))
    assert printed.startswith("autoload") is (shell == "zsh")


@pytest.mark.skipif(ZSH is None, reason="zsh is not installed")
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
        [str(ZSH), "-fc", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    registered, *offered = done.stdout.splitlines()
    assert registered.endswith("-F _planctonctl")
    assert "--json" in offered
    assert "start" not in offered
