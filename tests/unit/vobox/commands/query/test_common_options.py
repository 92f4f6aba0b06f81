"""What the query commands have in common: -help, -version, and options that are refused."""

import pytest

from tests.support.fake_query_queue import Command, FakeQueue, ask, job, out
from vobox.commands.query import (
    condor_history,
    condor_history_options,
    condor_q,
    condor_q_options,
    condor_status,
    condor_status_options,
)
from vobox.commands.version import VERSION_TEXT

VIEW = FakeQueue([job(1)], left=[job(2, 0, 4)])
COMMANDS = {
    "condor_q": (condor_q.answer, condor_q_options.OPTIONS),
    "condor_history": (condor_history.answer, condor_history_options.OPTIONS),
    "condor_status": (condor_status.answer, condor_status_options.OPTIONS),
}


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (command, option.name)
        for command, options in COMMANDS.values()
        for option in options
        if option.refused
    ],
)
def test_what_is_not_done_is_refused_and_never_ignored(command: Command, option: str) -> None:
    answer = ask(command, VIEW, "--" + option, "x")
    assert answer.stderr.startswith(f"Error: --{option} is not supported here: ")
    assert (answer.stdout, answer.code, answer.stderr.count("\n")) == ("", 1, 1)


@pytest.mark.parametrize("name", COMMANDS)
def test_version_and_help_end_well(name: str) -> None:
    command, _options = COMMANDS[name]
    assert out(command, VIEW, "-version", "-zzz") == VERSION_TEXT
    assert out(command, VIEW, "-help").startswith(f"Usage: {name} ")
