r"""Expressions on command lines are of the old ClassAd syntax: a backslash is itself.

In the new syntax ``"^v\d+"`` would be ``^vd+``: ``condor_rm -constraint '!regexp("^v\d+", Tag)'``
would take the very jobs that it is to spare.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_command_queue import Queue
from tests.support.fake_query_queue import FakeQueue, ask, job, out
from tests.support.schedd_parts import ScheddHarness
from thyme.protocol.job import JobId
from vobox.commands.query import condor_history, condor_q

VERSIONED = r'regexp("^v\d+$", Tag)'


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    made = Queue(ScheddHarness(tmp_path))
    made.add("5.0", "6.0")
    assert made.run("condor_qedit", "5.0", "Tag", '"v12"').code == 0
    assert made.run("condor_qedit", "6.0", "Tag", '"vd"').code == 0
    yield made
    made.bench.close()


def test_condor_rm_removes_the_selected_jobs(queue: Queue) -> None:
    said = queue.run("condor_rm", "-constraint", f"!{VERSIONED}")
    # HTCondor names the constraint as it was typed
    assert said.stdout == (
        f"All jobs matching constraint (!{VERSIONED}) have been marked for removal\n"
    )
    assert queue.states() == {"5.0": 1, "6.0": 3}


def test_condor_qedit_selects_and_stores_text_as_typed(queue: Queue) -> None:
    assert queue.run("condor_qedit", "-constraint", VERSIONED, "Win", r'"C:\temp"').code == 0
    ads = [queue.bench.job(JobId(cluster, 0)).ad for cluster in (5, 6)]
    assert [ad.text("Win") for ad in ads] == [r"C:\temp", ""]


@pytest.mark.parametrize("text", ["ClusterId == 05", '"a" "b" == Tag', "{017}[0]"])
def test_octal_numbers_and_strings_side_by_side_are_no_expressions(text: str, queue: Queue) -> None:
    assert queue.run("condor_rm", "-constraint", text).code == 1
    assert queue.run("condor_qedit", "5.0", "Tag", text).code == 1
    assert queue.states() == {"5.0": 1, "6.0": 1}
    assert queue.bench.job(JobId(5, 0)).ad.text("Tag") == "v12"
    view = FakeQueue([job(5, Tag="a")])
    assert ask(condor_q.answer, view, "-constraint", text, "-af", "Tag").code == 1


@pytest.mark.parametrize("command", ["condor_q", "condor_history"])
def test_a_query_selects_and_shows_text_as_typed(command: str) -> None:
    ads = [job(1, Tag="v12", Win="C:\\temp"), job(2, Tag="vd")]
    view = FakeQueue(ads, left=ads)
    answer = {"condor_q": condor_q.answer, "condor_history": condor_history.answer}[command]
    assert out(answer, view, "-constraint", VERSIONED, "-af", "ClusterId") == "1\n"
    assert out(answer, view, "-af", VERSIONED, r'Win == "C:\temp"') in (
        "true true\nfalse undefined\n", "false undefined\ntrue true\n",
    )  # fmt: skip
    formatted = out(answer, view, "1", "-format", "%v\n", r'strcat(Win, "\x")')
    assert formatted == "C:\\temp\\x\n"
