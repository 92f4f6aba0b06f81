"""The clients of contract section 7: their command lines, their own patterns on our answers."""

from __future__ import annotations

import json
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
ARC_ENVIRONMENT = {
    "_condor_CONDOR_Q_ONLY_MY_JOBS": "false",
    "_condor_CONDOR_Q_DASH_BATCH_IS_DEFAULT": "false",
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


def site(running: int = 2, idle: int = 3, held: int = 1) -> FakeQueue:
    states = [2] * running + [1] * idle + [5] * held
    cmd = "/home/games/agent.startup.1234"
    return FakeQueue([job(100 + n, 0, s, Cmd=cmd) for n, s in enumerate(states)])


# -- AliEn ---------------------------------------------------------------------------------


def alien_numbers(text: str, pattern: str) -> tuple[str, ...] | None:
    """Return the groups of the last line that matches; None where none does."""
    found = [match.groups() for line in text.splitlines() if (match := re.search(pattern, line))]
    return found[-1] if found else None


def test_alien_new_reads_running_and_idle() -> None:
    text = run("condor_status -schedd -af totalRunningJobs totalIdleJobs", site())
    assert alien_numbers(text, r"(\d+)\s+(\d+)") == ("2", "3")
    text = run("condor_status -schedd -af totalIdleJobs", site())
    assert alien_numbers(text, r"(\d+)") == ("3",)


def test_alien_new_reads_no_number_from_a_schedd_in_trouble() -> None:
    view = site()
    view.trouble = "broker silent for 300 s"
    answer = ask(
        condor_status.answer, view, *["-schedd", "-af", "totalRunningJobs", "totalIdleJobs"]
    )
    assert answer.code != 0
    assert alien_numbers(answer.stdout, r"(\d+)") is None


def test_alien_old_reads_the_last_line_of_totals() -> None:
    last = run("condor_q games -totals", site()).splitlines()[-1]  # | tail -n 1
    match = re.search(r"(\d+) idle,\s+(\d+) running,\s+(\d+) held,\s+(\d+) suspended", last)
    assert match is not None
    assert match.groups() == ("3", "2", "1", "0")
    running = re.search(r"(\d+) running", last)
    assert running is not None
    assert running[1] == "2"


def test_alien_old_lists_its_agents() -> None:
    text = run(
        'condor_q -constraint "JobStatus==1 || JobStatus==2" '
        r'-format "%d " ClusterId -format "%s \n" Cmd',
        site(),
    )
    agents = [line for line in text.splitlines() if re.search(r"(alien)|(agent.startup)", line)]
    assert len(agents) == 5
    assert agents[0].split()[0] == "100"


def test_alien_health_check_is_the_exit_code_of_the_bare_command() -> None:
    view = site()
    assert merged("condor_q", view)[1] == 0
    view.trouble = "no broker"
    assert merged("condor_q", view)[1] == 1


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


# -- JAliEn --------------------------------------------------------------------------------


def test_jalien_2019_matches_whole_lines() -> None:
    text = run("condor_status -schedd -af totalRunningJobs totalIdleJobs", site())
    matches = [re.fullmatch(r"(\d+)\s+(\d+)", line) for line in text.splitlines()]
    assert [match.groups() for match in matches if match] == [("2", "3")]


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


# -- others --------------------------------------------------------------------------------


def test_parsl_splits_each_line_at_blanks() -> None:
    view = FakeQueue([job(7, 0, 2), job(7, 1, 4), job(8, 0, 5)])
    status = {}
    for line in run("condor_q 7 8 -af:jr JobStatus", view).splitlines():
        job_id, code = line.split()
        status[job_id] = int(code)
    assert status == {"7.0": 2, "7.1": 4, "8.0": 5}


@pytest.mark.parametrize("place", ["-pool vobox1.example.org:9619 -name vobox1.example.org", "''"])
@pytest.mark.parametrize("command", ["condor_q", "condor_history"])
def test_dirac_htcondorce_reads_status_and_hold_codes(command: str, place: str) -> None:
    ads = [job(5, 0, 2), job(5, 1, 5), job(6, 0, 4)]
    view = FakeQueue(ads, ads)
    columns = "-af:j JobStatus HoldReasonCode HoldReasonSubCode HoldReason"
    lines = run(f"{command} {place} 5.0 5.1 6.0 {columns}", view).splitlines()
    found = {}
    for wanted in ("5.0", "5.1", "6.0"):
        line = next(line.split() for line in lines if line.split()[0] == wanted)
        found[wanted] = (int(line[1]), line[2], line[3])
    assert found["5.0"] == (2, "undefined", "undefined")
    assert found["5.1"] == (5, "3", "55")
    assert found["6.0"][0] == 4


def test_dirac_condor_reads_a_submitters_jobs() -> None:
    view = FakeQueue([job(5, 0, 1), job(6, 0, 2)], [job(4, 0, 4)])
    columns = "-af:j JobStatus HoldReasonCode HoldReasonSubCode HoldReason"
    assert run(f"condor_q -submitter games {columns}", view).splitlines() == [
        "5.0 1 undefined undefined undefined",
        "6.0 2 undefined undefined undefined",
    ]
    assert run(f"condor_history {columns} -submitter games", view).startswith("4.0 4 ")
    rows = run("condor_q -submitter games -nobatch", view).splitlines()
    assert len([row for row in rows if " I " in row]) == 1
    assert len([row for row in rows if " R " in row]) == 1


def test_arc_scan_sees_everybodys_jobs_in_rows() -> None:
    view = FakeQueue([job(12, 0, 2, Owner="bob"), job(345, 0, 1, Owner="eve")])
    answer = ask(condor_q.answer, view, env=ARC_ENVIRONMENT)
    assert answer.code == 0
    found = [
        m[1] for line in answer.stdout.splitlines() if (m := re.match(r"^\s*(\d+)\.\d+\s+", line))
    ]
    assert found == ["12", "345"]


def test_arc_scan_reads_attributes_of_history() -> None:
    left = [
        job(
            12,
            0,
            4,
            ExitCode=3,
            RemoteWallClockTime=7.0,
            LastRemoteHost="slot1@n",
            RemoveReason="x",
        )
    ]
    text = run("condor_history -l -match 1 12", FakeQueue(left=left))
    found = dict(re.findall(r"^(\w+) = (.*)$", text, re.MULTILINE))
    assert (found["ExitCode"], found["JobStatus"]) == ("3", "4")
    assert float(found["RemoteWallClockTime"]) == 7.0
    assert found["LastRemoteHost"] == '"slot1@n"'
    assert "vobox1" in found["GlobalJobId"]
    assert "#12.0#" in found["GlobalJobId"]


def test_arc_info_provider_reads_blocks() -> None:
    names = [
        "ClusterId",
        "ProcId",
        "JobStatus",
        "CurrentHosts",
        "LastRemoteHost",
        "RemoteHost",
        "ImageSize",
    ]
    form = " ".join(rf'-format "{name} = %V\n" {name}' for name in names)
    view = FakeQueue([job(1, 0, 2), job(2)])
    text = run(f'condor_q {form} -format "HoldReasonCode = %V\\n\\n" HoldReasonCode', view)
    blocks = [dict(re.findall(r"(\w+) = (.*)", block)) for block in text.split("\n\n") if block]
    assert [block["ClusterId"] for block in blocks] == ["1", "2"]
    assert blocks[0]["RemoteHost"] == '"slot1@node7"'
    assert blocks[1]["RemoteHost"] == "undefined"
    assert blocks[1]["HoldReasonCode"] == "undefined"


BLAH = (
    '-format "%d" ClusterId -format "," ALWAYS -format "%d" JobStatus -format "," ALWAYS '
    '-format "%f" RemoteSysCpu -format "," ALWAYS -format "%f" RemoteUserCpu -format "," ALWAYS '
    '-format "%f" BytesSent -format "," ALWAYS -format "%f" BytesRecvd -format "," ALWAYS '
    '-format "%f" RemoteWallClockTime -format "," ALWAYS -format "%d" ExitBySignal '
    r'-format "," ALWAYS -format "%d" ExitCode -format "%d" ExitSignal -format "\n" ALWAYS'
)


def test_blah_reads_one_comma_list_a_job() -> None:
    ended = {"RemoteSysCpu": 0.5, "RemoteUserCpu": 2.25, "BytesSent": 0.0, "BytesRecvd": 1.0}
    view = FakeQueue(
        [
            job(1, 0, 4, ExitCode=3, **ended),
            job(2, 0, 4, ExitBySignal=True, ExitSignal=9, **ended),
            job(3),
        ]
    )
    lines = run(f"condor_q {BLAH}", view).splitlines()
    assert lines[0] == "1,4,0.500000,2.250000,0.000000,1.000000,0.000000,0,3"
    assert lines[1] == "2,4,0.500000,2.250000,0.000000,1.000000,0.000000,1,9"
    assert lines[2] == "3,1,,0.000000,,,0.000000,0,"
    assert run(f"condor_q 2 {BLAH}", view).splitlines() == [lines[1]]
    history = FakeQueue(left=view.queue)
    assert run(f"condor_history -backwards -match 1 1 {BLAH}", history).splitlines() == [lines[0]]


def test_alien_counts_an_agent_whose_hold_was_released() -> None:
    """CONDOR.pm drops every line with "undef" or "HoldReason" (grep -v)."""
    e = Events(attributes={"Cmd": "/bin/true"})
    view = FakeQueue([job_after(e.submit(), e.held(), e.released()).ad])
    text = run(
        r'condor_q -format "%d " ClusterId -format "HoldReason=%s " HoldReasonCode '
        r'-format "%s \n" Cmd -allusers', view,
    )  # fmt: skip
    assert text == "38 /bin/true \n"


def test_dirac_reads_idle_and_running_from_the_totals_as_json() -> None:
    [ad] = json.loads(run("condor_q -totals -json", site()))
    assert (ad["Idle"], ad["Running"], ad["Held"], ad["Jobs"]) == (3, 2, 1, 6)
    [ad] = json.loads(run("condor_q -totals -json -constraint JobStatus==5", site()))
    assert (ad["Idle"], ad["Held"], ad["AllusersIdle"]) == (0, 1, 3)
    assert "Idle = 3\n" in run("condor_q -totals -long", site())
