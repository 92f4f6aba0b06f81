"""The options that the query commands refuse."""

import pytest

from tests.support.fake_query_queue import Command, FakeQueue, ask, job
from vobox.commands.query import (
    condor_history,
    condor_history_options,
    condor_q,
    condor_q_options,
    condor_status,
    condor_status_options,
)

VIEW = FakeQueue([job(1)], left=[job(2, 0, 4)])
COMMANDS = [
    (condor_q.answer, condor_q_options.OPTIONS),
    (condor_history.answer, condor_history_options.OPTIONS),
    (condor_status.answer, condor_status_options.OPTIONS),
]


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (command, option.name)
        for command, options in COMMANDS
        for option in options
        if option.refused
    ],
)
def test_what_is_not_done_is_refused_and_never_ignored(command: Command, option: str) -> None:
    answer = ask(command, VIEW, "--" + option, "x")
    assert answer.stderr.startswith(f"Error: --{option} is not supported here: ")
    assert (answer.stdout, answer.code, answer.stderr.count("\n")) == ("", 1, 1)
