"""condor_qedit and condor_prio: what may be changed, what is said, and that it lasts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_command_queue import BOB, Queue
from tests.support.schedd_parts import ScheddHarness, read_all_jobs
from thyme.protocol.job import JobId
from vobox.commands import prio, qedit
from vobox.rpc.types import Answer

FAILED = "Transaction failed.  No attributes were set.\n"
QUEUE_FAILED = "Queue transaction failed.  No attributes were set.\n"


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    made = Queue(ScheddHarness(tmp_path))
    made.add("5.0", "5.1", "6.0")
    made.add("9.0", uid=BOB, owner="bob")
    yield made
    made.bench.close()


def value(queue: Queue, job: str, attribute: str) -> str | None:
    return queue.bench.job(JobId.parse(job)).ad.get(attribute)


def set_line(attribute: str, count: str, can: str = "") -> str:
    return f'{can}Set attribute "{attribute}" for {count} matching jobs.\n'


# --- what is changed ----------------------------------------------------------------------------


def test_a_policy_that_is_set_later_is_applied(queue: Queue) -> None:
    queue.run("condor_qedit", "5", "PeriodicRemove", "ProcId == 1")
    queue.bench.policies()
    assert queue.states() == {"5.0": 1, "5.1": 3, "6.0": 1, "9.0": 1}


def test_a_change_is_still_there_after_a_rebuild(queue: Queue) -> None:
    queue.run("condor_qedit", "5.0", "Colour", '"red"')
    queue.run("condor_prio", "-p", "7", "6")
    before = read_all_jobs(queue.bench.ledger)
    queue.bench.restart(wiped=True)
    assert read_all_jobs(queue.bench.ledger) == before
    assert value(queue, "5.0", "Colour") == '"red"' and value(queue, "6.0", "JobPrio") == "7"


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attribute", "kind", "why"),
    [
        ("Owner", "immutable", "it is what the job is known by"),
        ("clusterid", "immutable", "it is what the job is known by"),
        ("JobStatus", "protected", "the schedd keeps it itself"),
        (
            "Arguments",
            "immutable",
            "it travels with the job to its worker; remove the job and submit it again",
        ),
    ],
)
def test_what_cannot_be_changed_is_refused_with_a_reason_and_nothing_is_set(
    queue: Queue, attribute: str, kind: str, why: str
) -> None:
    before = read_all_jobs(queue.bench.ledger)
    said = queue.run("condor_qedit", "5.0", "Colour", "1", attribute, '"x"')
    assert said == Answer(
        "",
        f'Update of {kind} attribute "{attribute}" is not allowed.\n{FAILED}'
        f"condor_qedit: {attribute}: {why}\n",
        1,
    )
    assert read_all_jobs(queue.bench.ledger) == before


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["9.0", "A", "1"], f'Failed to set attribute "A" for job 9.0.\n{QUEUE_FAILED}'),
        (["5.0", "9.0", "A", "1"], f'Failed to set attribute "A" for job 9.0.\n{QUEUE_FAILED}'),
        (
            ["bob", "A", "1"],
            f'Failed to set attribute "A" by constraint: ( (Owner=="bob") )\n{QUEUE_FAILED}',
        ),
        (["-cons", "1"], "condor_qedit : Error - no attributes specifed.\n" + qedit.USAGE),
        (["-zzz"], "condor_qedit: -zzz is not a valid option\n" + qedit.USAGE),
        (["-edits", "f"], "condor_qedit: -edits: edits from a file are not known here; give them"
         " as words\n"),
        (["5.0", "A"], "condor_qedit : expression required after attribute A\n" + qedit.USAGE),
        (["5.0", "A", "1; B = 2"], f"Update aborted, illegal value for : A\n{FAILED}"),
        (["5.x", "A", "1"], f"condor_qedit: 5.x is no job id\n{FAILED}"),
        (["-name"], "condor_qedit: -name requires a SCHEDD name as an argument\n"),
        (["-cons"], "condor_qedit: -cons requires a ClassAd expression an argument\n"),
        ([], qedit.USAGE),
    ],
)  # fmt: skip
def test_a_wrong_command_says_what_is_wrong_and_sets_nothing(
    queue: Queue, argv: list[str], text: str
) -> None:
    before = read_all_jobs(queue.bench.ledger)
    assert queue.run("condor_qedit", *argv) == Answer("", text, 1)
    assert read_all_jobs(queue.bench.ledger) == before


@pytest.mark.parametrize(
    ("attribute", "text", "why"),
    [
        ("Out", "5", "a string in double quotes is needed, as in '\"text\"'"),
        ("err", 'strcat("a", "b")', "a string in double quotes is needed, as in '\"text\"'"),
        ("UserLog", '"job.log"', "a path that begins with / is needed"),
    ],
)
def test_a_file_is_named_by_a_string(queue: Queue, attribute: str, text: str, why: str) -> None:
    # what is no string would be as no file at all, and the output be lost
    said = queue.run("condor_qedit", "5.0", attribute, text)
    assert said == Answer(
        "",
        f"Update aborted, illegal value for : {attribute}\n{FAILED}"
        f"condor_qedit: {attribute}: {why}\n",
        1,
    )
    assert queue.run("condor_qedit", "5.0", "UserLog", '"/tmp/log"', "Out", '"o"').code == 0


def test_long_values_of_many_jobs_are_refused(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The schedd's thread would write them for minutes, in which it does nothing else."""
    monkeypatch.setattr(qedit, "MAX_WRITTEN", 5000)
    text = '"' + "x" * 2000 + '"'
    assert queue.run("condor_qedit", "5", "A", text).code == 0
    answer = queue.run("condor_qedit", "5", "6", "A", text)
    assert answer.code == 1
    assert answer.stderr == (
        f'Failed to set attribute "A".\n{QUEUE_FAILED}condor_qedit: 2002 characters of each of 3 '
        "jobs; at most 5000 together: name fewer jobs at once\n"
    )
    assert value(queue, "6.0", "A") is None


def test_root_may_change_every_job(queue: Queue) -> None:
    said = queue.run("condor_qedit", "9.0", "Colour", "1", uid=0, user="root")
    assert said == Answer(set_line("Colour", "1"))
    assert value(queue, "9.0", "Colour") == "1"


@pytest.mark.parametrize(
    ("command", "argv"), [("condor_qedit", ["5", "A", "1"]), ("condor_prio", ["+1", "5"])]
)
def test_a_schedd_that_cannot_record_it_says_why(
    queue: Queue, command: str, argv: list[str]
) -> None:
    queue.down = "no broker"
    text = f"Failed to connect to queue manager {queue.address}\n{command}: no broker\n"
    assert queue.run(command, *argv) == Answer("", text, 1)


# --- condor_prio --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["5.0"], "You must specify a new priority or priority adjustment.\n" + prio.USAGE),
        ([], prio.USAGE),
        (["+1"], "You did not specify any jobs\n" + prio.USAGE),
        (["-p"], "condor_prio: -p requires another argument\n"),
        (["-p", "x", "5"], "condor_prio: -p x: not a whole number\n" + prio.USAGE),
        (["-zzz"], "condor_prio: unknown option -zzz\n" + prio.USAGE),
    ],
)
def test_a_priority_that_cannot_be_set_is_an_error(
    queue: Queue, argv: list[str], text: str
) -> None:
    before = read_all_jobs(queue.bench.ledger)
    assert queue.run("condor_prio", *argv) == Answer("", text, 1)
    assert read_all_jobs(queue.bench.ledger) == before


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("9.0", "Couldn't set new priority for 9.0.\n"),
        ("0", "Invalid cluster # from 0\n"),
    ],
)
def test_a_job_whose_priority_cannot_be_set_changes_no_exit_code(
    queue: Queue, word: str, text: str
) -> None:
    before = read_all_jobs(queue.bench.ledger)
    assert queue.run("condor_prio", "+1", word) == Answer("", text)
    assert read_all_jobs(queue.bench.ledger) == before
