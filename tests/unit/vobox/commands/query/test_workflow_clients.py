"""What workflow systems and other callers read from condor_q and condor_history."""

from __future__ import annotations

import json
import re
import shlex
from xml.etree import ElementTree

from tests.support.fake_query_queue import Command, FakeQueue, ask, job, out
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


def nextflow_status(text: str) -> dict[str, str]:
    """Rows after the line that starts with `` ID `` up to the next empty line."""
    result: dict[str, str] = {}
    started = False
    for line in text.splitlines():
        if started:
            columns = line.split()
            if not columns:
                break
            result[columns[0]] = columns[5]
        elif line.startswith(" ID "):
            started = True
    return result


def test_nextflow_reads_id_and_letter_from_the_rows() -> None:
    view = FakeQueue([job(1, 0, 2), job(40, 0, 1), job(12345, 0, 5)])
    assert nextflow_status(run("condor_q -nobatch", view)) == {
        "1.0": "R",
        "40.0": "I",
        "12345.0": "H",
    }
    assert nextflow_status(run("condor_q -nobatch", FakeQueue())) == {}


def test_law_reads_blocks_between_empty_lines() -> None:
    ads = [job(3, 0, 5, HoldReason="no luck"), job(3, 1, 4, ExitCode=1)]
    names = "ClusterId ProcId JobStatus ExitCode ExitStatus HoldReason RemoveReason"
    for command in ("condor_q", "condor_history"):
        text = run(f"{command} 3 -af:lng {names} -limit 5", FakeQueue(ads, ads))
        blocks = [
            dict(re.findall(r"(\w+) \= \"?([^\"\n]*)\"?\n", block + "\n"))
            for block in text.strip().split("\n\n")
        ]
        assert [f"{each['ClusterId']}.{each['ProcId']}" for each in blocks] == ["3.0", "3.1"]
        assert blocks[0]["HoldReason"] == "no luck"
        assert blocks[0]["ExitCode"] == "undefined"
        assert blocks[1]["ExitCode"] == "1"


def test_b2luigi_reads_json_or_nothing() -> None:
    ads = [job(7, 0, 4, ExitCode=0, UserLog="/tmp/log"), job(8)]
    asked = "-json -attributes ClusterId,JobStatus,ExitStatus,ExitCode,UserLog"
    found = json.loads(run(f"condor_q {asked} 7", FakeQueue(ads)))
    assert found == [
        {"ClusterId": 7, "ExitCode": 0, "ExitStatus": 0, "JobStatus": 4, "UserLog": "/tmp/log"}
    ]
    assert run(f"condor_q {asked} 9", FakeQueue(ads)) == ""
    assert json.loads(run(f"condor_history {asked} -match 1 9", FakeQueue(left=ads))) == []


def test_tardis_reads_tab_separated_values() -> None:
    view = FakeQueue([job(1, 0, 2), job(2)])
    lines = run("condor_q 1.0 2.0 3.0 -af:t JobStatus ClusterId ProcId", view).splitlines()
    assert [line.split("\t") for line in lines] == [["2", "1", "0"], ["1", "2", "0"]]


def test_nipype_finds_the_id_at_the_start_of_a_row() -> None:
    view = FakeQueue([job(1234, 0, 2)])
    assert run("condor_q 1234 -nobatch", view).count("\n1234") > 0
    assert run("condor_q 999 -nobatch", view).count("\n999") == 0


def test_harvester_reads_xml() -> None:
    view = FakeQueue([job(1, 0, 4, ExitCode=0), job(2, 1)])
    root = ElementTree.fromstring(run("condor_q -xml 1.0 2.1", view))  # noqa: S314
    status = {
        (ad.findtext("a[@n='ClusterId']/i"), ad.findtext("a[@n='ProcId']/i")): ad.findtext(
            "a[@n='JobStatus']/i"
        )
        for ad in root.findall("c")
    }
    assert status == {("1", "0"): "4", ("2", "1"): "1"}


def test_radical_saga_greps_attributes() -> None:
    view = FakeQueue([job(5, 0, 2)])
    lines = run("condor_q -long 5", view).splitlines()
    assert [line for line in lines if re.match(r"^JobStatus|^ExitStatus", line)] == [
        "ExitStatus = 0",
        "JobStatus = 2",
    ]
    assert run("condor_q 5 -autoformat:, JobStatus ExitStatus", view) == "2, 0\n"


def test_cromwell_asks_only_whether_the_question_could_be_answered() -> None:
    assert merged("condor_q 4711", FakeQueue())[1] == 0
