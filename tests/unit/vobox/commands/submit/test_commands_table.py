"""The table of submit commands: the code does what it says."""

import pytest

from tests.support.fake_submit_host import CWD, FakeSubmitHost
from vobox.commands.submit.commands_table import (
    SUBMIT_COMMANDS,
    SubmitCommand,
    Support,
    ValueType,
)
from vobox.commands.submit.table_driven import GRID_ONLY

REFUSED = [
    (row, name) for row in SUBMIT_COMMANDS if row.support is Support.REFUSED for name in row.names
]
RECORDED = [row for row in SUBMIT_COMMANDS if row.value_type is not None]
KNOWN = [name for row in SUBMIT_COMMANDS for name in row.names]
#: Without another command they say nothing, or executable counts before; HTCondor warns, too.
UNUSED = {name for name in KNOWN if name.startswith("tool") and not name.endswith("cmd")} | {
    "cmd", "cron_prep_time", "cron_window", "deferral_prep_time", "deferral_window",
    "grid_resource", "require_gpus", "suspend_job_at_exec", "suspendjobatexec",
}  # fmt: skip
UNUSED |= {row.names[0] for row in SUBMIT_COMMANDS if row.attribute in GRID_ONLY}

VALUES = {
    ValueType.STRING: ("some text", '"some text"'),
    ValueType.LIST: ("a, b,", '"a,b"'),
    ValueType.EXPRESSION: ("7  >  1", "7 > 1"),
    ValueType.BOOLEAN: ("True", "true"),
    ValueType.INTEGER: ("1 + 2", "3"),
    ValueType.LENGTH: ("2 - 2", "0"),
    ValueType.PATH: ("a//b", f'"{CWD}/a/b"'),
}


def test_every_command_has_one_row() -> None:
    assert len(KNOWN) == len(set(KNOWN))
    assert all(name == name.lower() for name in KNOWN)


@pytest.mark.parametrize(("row", "name"), REFUSED, ids=[name for _, name in REFUSED])
def test_a_refused_command_ends_the_submit_with_its_reason(row: SubmitCommand, name: str) -> None:
    host = FakeSubmitHost()
    answer = host.submit(f"executable = agent.sh\n{name} = 17\nqueue\n")

    assert answer.code == 1
    assert answer.stderr == f"\nERROR: {name} = 17: {row.effect}\n"
    assert not host.target.submitted


@pytest.mark.parametrize(("row", "name"), REFUSED, ids=[name for _, name in REFUSED])
def test_a_refused_command_that_is_off_is_no_obstacle(row: SubmitCommand, name: str) -> None:
    answer = FakeSubmitHost().submit(f"executable = agent.sh\n{name} = False\nqueue\n")

    assert (answer.code, answer.stderr) == (0, "")


@pytest.mark.parametrize("row", RECORDED, ids=lambda row: row.names[0])
def test_a_recorded_command_is_in_the_ad(row: SubmitCommand) -> None:
    assert row.value_type is not None
    typed, kept = VALUES[row.value_type]
    # ConcurrencyLimits is the other name of concurrency_limits
    aliases = () if row.attribute == "ConcurrencyLimits" else (row.attribute,)
    grid = "universe = grid\ngrid_resource = batch slurm\n" if row.attribute in GRID_ONLY else ""
    for name in (*row.names, *aliases):
        lines = f"executable = agent.sh\n{grid}{name} = {typed}\nqueue\n"
        job = FakeSubmitHost().make_job(lines)
        assert job.ad[row.attribute] == kept


@pytest.mark.parametrize("name", KNOWN)
def test_a_command_counts_as_a_typo_where_it_says_nothing_alone(name: str) -> None:
    answer = FakeSubmitHost().submit(f"executable = agent.sh\n{name} = \nqueue\n")

    assert ("typo" in answer.stderr) == (name in UNUSED)
