"""What clients read from answers that no real one is seen to read in tests/clients."""

import re
import shlex

import pytest

from tests.support.fake_query_queue import Command, FakeQueue, ask, job, out
from tests.support.schedd_parts import Events, job_after
from vobox.commands.query import condor_history, condor_q, condor_status

COMMANDS: dict[str, Command] = {
    "condor_q": condor_q.answer,
    "condor_history": condor_history.answer,
    "condor_status": condor_status.answer,
}


def run(line: str, view: FakeQueue) -> str:
    """Return the stdout of a command line as the client's shell would split it."""
    name, *argv = shlex.split(line)
    return out(COMMANDS[name], view, *argv)


def merged(line: str, view: FakeQueue) -> tuple[str, int]:
    """Return stdout and stderr as ``2>&1`` may mix them, and the exit code."""
    name, *argv = shlex.split(line)
    answer = ask(COMMANDS[name], view, *argv)
    return answer.stderr + answer.stdout, answer.code


def test_condor_pm_counts_lines_that_only_the_last_attribute_ends() -> None:
    grid = {"GridJobId": "condor s p 1.0", "Cmd": "/x/alien"}
    view = FakeQueue(
        [
            job(1, GridJobStatus="PENDING", **grid),
            job(2, GridJobStatus="RUNNING", **grid),
            job(3, 0, 5, GridJobStatus="IDLE", **grid),
            job(4),  # not submitted to the grid yet
        ]
    )
    text = run(
        r'condor_q -format "%s " GridJobId -format "HoldReason=%s " HoldReasonCode '
        r'-format "%s \n" GridJobStatus',
        view,
    )
    lines = [line for line in text.splitlines() if "undef" not in line and "HoldReason" not in line]
    assert len(lines) == 2
    assert len([line for line in lines if "PENDING" in line]) == 1
    listing = run(
        r'condor_q -format "%d " ClusterId -format "HoldReason=%s " HoldReasonCode '
        r'-format "%s " GridJobId -format "%s \n" Cmd',
        view,
    ).splitlines()
    assert [line.split()[0] for line in listing] == ["1", "2", "3", "4"]
    assert ["HoldReason=3 " in line for line in listing] == [False, False, True, False]


@pytest.mark.parametrize(
    ("line", "where"),
    [
        (
            "condor_q -const 'JobStatus < 3' -af JobStatus -format local_pool GridResource",
            "local_pool",
        ),
        ("condor_q -const 'JobStatus < 3' -af JobStatus GridResource", "p:9619"),
    ],
)
@pytest.mark.parametrize("trouble", ["", "no broker for 17 s"])
def test_jalien_reads_status_and_ce_from_merged_streams(
    line: str, where: str, trouble: str
) -> None:
    grid = "condor s p:9619"
    view = FakeQueue([job(n, 0, s, GridResource=grid) for n, s in enumerate((1, 2, 2, 5))])
    view.trouble = trouble
    text, code = merged(line, view)
    assert code == 0
    found = []
    for each in text.splitlines():
        match = re.match(r"^\s*([12]+)\s.*?(\S+)$", each.strip())
        if match is not None:
            found.append(match.groups())
    assert found == [("1", where), ("2", where), ("2", where)]


def test_alien_counts_an_agent_whose_hold_was_released() -> None:
    """CONDOR.pm drops every line with "undef" or "HoldReason" (grep -v)."""
    e = Events(attributes={"Cmd": "/bin/true"})
    view = FakeQueue([job_after(e.submit(), e.held(), e.released()).ad])
    text = run(
        r'condor_q -format "%d " ClusterId -format "HoldReason=%s " HoldReasonCode '
        r'-format "%s \n" Cmd -allusers', view,
    )  # fmt: skip
    assert text == "38 /bin/true \n"
