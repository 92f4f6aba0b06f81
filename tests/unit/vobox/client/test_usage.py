"""``-help`` and ``-version`` need no schedd, and are answered as the schedd answers them."""

import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.support.fake_rpc_server import FakeRpcServer, run
from tests.support.fake_submit_host import FakeSubmitHost
from tests.support.schedd_process import thin
from vobox.client.client import COMMANDS
from vobox.client.usage import USAGES, answer_early
from vobox.commands import act, config_val, prio, qedit, reschedule, tail, transfer_data, vacate
from vobox.commands.command_line import CommandLine, EarlyExit
from vobox.commands.query import (
    condor_history_options,
    condor_q_options,
    condor_status_options,
)
from vobox.rpc.types import Answer

#: These print -help to stdout, as HTCondor's tools of these names do; the others to stderr.
ON_STDOUT = {
    "condor_history", "condor_q", "condor_qedit", "condor_status", "condor_submit",
}  # fmt: skip
#: HTCondor's tools of these names end with 1 after -help.
FAILS = {"condor_config_val", "condor_prio"}
LINES: dict[str, CommandLine] = {
    **act.COMMAND_LINES,
    "condor_config_val": config_val.COMMAND_LINE,
    "condor_history": condor_history_options.COMMAND_LINE,
    "condor_q": condor_q_options.COMMAND_LINE,
    "condor_reschedule": reschedule.COMMAND_LINE,
    "condor_status": condor_status_options.COMMAND_LINE,
    "condor_tail": tail.COMMAND_LINE,
    "condor_transfer_data": transfer_data.COMMAND_LINE,
    "condor_vacate": vacate.COMMAND_LINE,
}
PARSERS: dict[str, Callable[[Sequence[str], str], object]] = {
    "condor_prio": prio.parse,
    "condor_qedit": qedit.parse,
}


def ask_schedd(command: str, word: str) -> Answer:
    """Return what the schedd's side answers to this command with this word alone."""
    if command == "condor_submit":
        return FakeSubmitHost().run(word)
    with pytest.raises(EarlyExit) as caught:
        if command in PARSERS:
            PARSERS[command]([word], "vobox1")
        else:
            list(LINES[command].parse([word]))
    return caught.value.answer


def run_without_schedd(place: Path, command: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command where no schedd listens."""
    return subprocess.run(
        [*thin(command), *words],
        env={"THYME_SCHEDD_SOCKET": str(place / "none")},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_help_and_version_need_no_schedd(tmp_path: Path, command: str) -> None:
    shown = run_without_schedd(tmp_path, command, "-help")
    version = run_without_schedd(tmp_path, command, "-version")

    usage = shown.stdout if command in ON_STDOUT else shown.stderr
    assert shown.returncode == (1 if command in FAILS else 0)
    assert len(shown.stdout + shown.stderr) == len(usage)
    assert usage.startswith(f"Usage: {command} ")
    if command == "condor_submit":  # HTCondor's does not know -version
        assert (version.returncode, version.stdout, version.stderr) == (1, "", usage)
    else:
        first, second = version.stdout.splitlines()
        assert (version.returncode, version.stderr) == (0, "")
        assert first.startswith("$CondorVersion: 25.14.0 ") and first.endswith(" $")
        assert second.startswith("$CondorPlatform: ")


@pytest.mark.parametrize("word", ["-help", "-version"])
@pytest.mark.parametrize("command", COMMANDS)
def test_the_schedd_answers_the_same(command: str, word: str) -> None:
    answer = ask_schedd(command, word)

    assert answer_early(command, word) == (answer.code, answer.stdout, answer.stderr)


def test_every_command_has_a_usage() -> None:
    assert set(USAGES) == set(COMMANDS)


@pytest.mark.parametrize(
    ("words", "helps"),
    [
        (["5.0", "-help"], True),
        (["5.0", "--version"], True),
        (["-constraint", "-help"], False),  # the value of an option
        (["-constraint", "true"], False),
    ],
)
def test_help_behind_other_words_is_found_once_no_schedd_answers(
    tmp_path: Path, words: list[str], helps: bool
) -> None:
    done = run_without_schedd(tmp_path, "condor_q", *words)

    assert done.returncode == (0 if helps else 1)
    assert ("no thyme-schedd answers" in done.stderr) is not helps


def test_a_schedd_that_is_there_decides_what_later_words_mean(tmp_path: Path) -> None:
    schedd = FakeRpcServer(tmp_path / "s.sock")
    try:
        done = run(schedd.path, "condor_q", "-zzz", "-help")
        assert (done.stdout, done.returncode) == (b"out\n", 3)
    finally:
        schedd.close()


#: Options that are others by another name, or that show what no site of ours has.
UNTOLD = {
    "addr", "address", "all-users", "analyse", "analyze", "autoformat", "better-analyse",
    "completedsince", "dag", "factory", "follow", "held", "nobackwards", "slots", "startd", "stm",
    "absent", "ckptsrvr", "cod", "data", "defrag", "generic", "gpus", "grid", "java", "license",
    "negotiator", "offline", "quill", "storage", "vm", "world",
}  # fmt: skip


@pytest.mark.parametrize("command", LINES)
def test_the_usage_names_every_option_that_does_something(command: str) -> None:
    told = set(re.findall(r"(?<![\w-])-([a-z][\w-]*)", USAGES[command]))
    does = {o.name for o in LINES[command].options if not (o.ignored or o.refused)} - UNTOLD
    assert sorted(does - told - ({"totals"} if "total" in told else set())) == []
