"""condor_vacate, condor_transfer_data, condor_reschedule, …: texts, streams, exit codes."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_command_queue import BOB, Queue
from tests.support.schedd_parts import SCHEDD, ScheddHarness
from thyme.broker.lanes import parse_bounds
from thyme.protocol.events import Vacated
from vobox.commands import config_val, reschedule, transfer_data, vacate
from vobox.ledger.writer import Ledger
from vobox.rpc.types import Answer, Request
from vobox.schedd.lanes import LaneSettings
from vobox.schedd.state import Settings

SETTINGS = Settings(SCHEDD, "alien_jobs", lanes=LaneSettings(parse_bounds("10m,1h")))


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    made = Queue(ScheddHarness(tmp_path))
    made.add("5.0", "5.1", "6.0")
    made.add("9.0", uid=BOB, owner="bob")
    made.start("5.0", "node1.example.org")
    made.start("5.1", "node2.example.org")
    made.start("9.0", "node1.example.org")
    yield made
    made.bench.close()


def vacated(queue: Queue) -> dict[str, bool]:
    """Job → whether without a grace."""
    events = [each for each in queue.bench.broker.messages() if isinstance(each, Vacated)]
    return {str(event.job): event.force for event in events}


@pytest.mark.parametrize(
    ("argv", "said", "jobs"),
    [
        (["node1"], 'Sent "Vacate-All-Claims" command to startd node1\n', {"5.0": False}),
        (
            ["-fast", "node2.example.org"],
            'Sent "Vacate-All-Claims-Fast" command to startd node2.example.org\n',
            {"5.1": True},
        ),
        (
            ["slot1_1@node1.example.org"],
            'Sent "Vacate-Claim" command to startd slot1_1@node1.example.org\n',
            {"5.0": False},
        ),
        (
            ["-all"],
            'Sent "Vacate-All-Claims" command to all startds\n',
            {"5.0": False, "5.1": False},
        ),
        (
            ["-name", "NODE1", "node2"],
            'Sent "Vacate-All-Claims" command to startd NODE1\n'
            'Sent "Vacate-All-Claims" command to startd node2\n',
            {"5.0": False, "5.1": False},
        ),
    ],
)
def test_the_callers_jobs_on_a_machine_are_vacated(
    queue: Queue, argv: list[str], said: str, jobs: dict[str, bool]
) -> None:
    assert queue.run("condor_vacate", *argv) == Answer(said)
    assert vacated(queue) == jobs


def test_root_vacates_everybodys(queue: Queue) -> None:
    assert queue.run("condor_vacate", "node1", uid=0, user="root").code == 0
    assert vacated(queue) == {"5.0": False, "9.0": False}


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (
            ["node3"],
            "Can't find address for startd node3\nPerhaps you need to query another pool.\n",
        ),
        ([], "condor_vacate: no machine given, and none is run here\n" + vacate.USAGE),
        (["-zzz"], 'ERROR: unknown parameter: "-zzz"\n' + vacate.USAGE),
        (["-name"], "ERROR: -name requires another argument\n" + vacate.USAGE),
        (
            ["-addr", "<1.2.3.4:5>"],
            "condor_vacate: -addr: workers have no address; name the machine or the slot\n",
        ),
        (
            ["-constraint", "true"],
            "condor_vacate: -constraint: use condor_vacate_job -constraint for jobs\n",
        ),
    ],
)
def test_a_machine_without_jobs_to_vacate_is_an_error(
    queue: Queue, argv: list[str], text: str
) -> None:
    assert queue.run("condor_vacate", *argv) == Answer("", text, 1)
    assert vacated(queue) == {}


def test_a_schedd_that_cannot_record_a_vacation_says_why(queue: Queue) -> None:
    queue.down = "no broker"
    text = "Can't connect to local schedd\ncondor_vacate: no broker\n"
    assert queue.run("condor_vacate", "-all") == Answer("", text, 1)


# --- condor_reschedule --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "answer"),
    [
        ([], Answer('Sent "Reschedule" command to local schedd\n')),
        (["-all", ""], Answer('Sent "Reschedule" command to local schedd\n')),
        (["-name", "vobox1"], Answer('Sent "Reschedule" command to schedd vobox1\n')),
        (["nobody"], Answer("", "Can't find address for schedd nobody\n", 1)),
        (["-x"], Answer("", 'ERROR: unknown parameter: "-x"\n' + reschedule.USAGE, 1)),
        (["-pool"], Answer("", "ERROR: -pool requires another argument\n" + reschedule.USAGE, 1)),
        (["-help"], Answer("", reschedule.USAGE)),
    ],
)
def test_reschedule_does_no_harm(argv: list[str], answer: Answer) -> None:
    request = Request("condor_reschedule", argv, "/", {}, 1, 1, "alice")
    assert reschedule.answer(request, SCHEDD) == answer


# --- condor_config_val --------------------------------------------------------------------------


def ask(*argv: str, env: Mapping[str, str] | None = None) -> Answer:
    request = Request("condor_config_val", argv, "/", env or {}, 1, 1, "alice")
    return config_val.answer(request, SETTINGS, "</run/thyme/schedd.sock>")


@pytest.mark.parametrize(
    ("argv", "answer"),
    [
        (["full_hostname", "uid_domain"], Answer("vobox1.example.org\nvobox1.example.org\n")),
        # BLAH asks so; a daemon's "no" is an answer
        (["-schedd", "foo"], Answer("Not defined\n")),
        (["-schedd", "THYME_QUEUE"], Answer("alien_jobs\n")),
        (["-schedd", "THYME_LANES"], Answer("600,3600\n")),
        (["MAX_JOBS_PER_OWNER", "MAX_JOBS_PER_SUBMISSION"], Answer("2000000\n20000\n")),
        (["-name", "vobox1", "PERIODIC_EXPR_INTERVAL"], Answer("60\n")),
        (["-name", "other", "X"], Answer("", "Can't find address for schedd other\n", 1)),
        (["-pool", "other", "X"], Answer("", "condor_config_val: unknown host other\n", 1)),
        (["-startd", "X"], Answer("", "condor_config_val: -startd: there is no such daemon here\n",
                                  1)),
        (["-set", "X=1"], Answer("", "condor_config_val: -set: the configuration is "
                                 "thyme-schedd's command line; change it there\n", 1)),
        (["-zzz"], Answer("", "-zzz is not a valid argument\n" + config_val.USAGE, 1)),
        (["-name"], Answer("", "-name requires an argument\n" + config_val.USAGE, 1)),
        ([], Answer("", config_val.USAGE, 1)),
        (["-config"], Answer("Configuration source:\n\tthe command line of thyme-schedd\n")),
        (["-verbose", "HOSTNAME"], Answer("HOSTNAME = vobox1\n # at: <thyme-schedd>\n")),
    ],
)  # fmt: skip
def test_configuration_values_are_this_schedds(argv: list[str], answer: Answer) -> None:
    assert ask(*argv) == answer


def test_the_environment_overrides_what_is_not_asked_of_the_schedd() -> None:
    env = {"_condor_HISTORY": "/tmp/h", "_CONDOR_HOSTNAME": "x"}
    assert ask("HISTORY", "HOSTNAME", env=env) == Answer("/tmp/h\nx\n")
    assert ask("-schedd", "HOSTNAME", env=env) == Answer("vobox1\n")
    assert ask("-v", "HOSTNAME", env=env) == Answer("HOSTNAME = x\n # at: <environment>\n")


def test_a_dump_has_all_values_or_those_that_match() -> None:
    lines = ask("-dump").stdout.splitlines()
    assert lines[0] == "# Configuration from machine: vobox1.example.org"
    assert "FULL_HOSTNAME = vobox1.example.org" in lines and len(lines) > 10
    assert ask("-dump", "domain").stdout == (
        "# Configuration from machine: vobox1.example.org\n"
        "\n# Parameters with names that match domain:\n"
        "FILESYSTEM_DOMAIN = vobox1.example.org\nUID_DOMAIN = vobox1.example.org\n"
    )


def ask_with(settings: Settings, *names: str) -> Answer:
    request = Request("condor_config_val", list(names), "/", {}, 1, 1, "alice")
    return config_val.answer(request, settings, "<>")


def test_the_directory_of_history_files_is_printed_if_there_is_one() -> None:
    with_one = replace(SETTINGS, history_dir=Path("/run/thyme/h"))
    asked = ("PER_JOB_HISTORY_DIR", "HISTORY")
    assert ask_with(with_one, *asked) == Answer("/run/thyme/h\n/run/thyme/h/history\n")
    assert ask_with(SETTINGS, *asked) == Answer(
        "", "Not defined: PER_JOB_HISTORY_DIR\nNot defined: HISTORY\n", 1
    )


def test_the_directory_of_the_log_is_printed_if_it_is_a_file() -> None:
    with_one = replace(SETTINGS, log_file=Path("/var/log/thyme/schedd.log"))
    asked = ("LOG", "SCHEDD_LOG")
    assert ask_with(with_one, *asked) == Answer("/var/log/thyme\n/var/log/thyme/schedd.log\n")
    assert ask_with(SETTINGS, "LOG") == Answer("", "Not defined: LOG\n", 1)


def test_output_is_fetched_of_ones_own_jobs_a_few_at_a_time(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each job's ad may have megabytes; a job may leave the queue meanwhile."""
    monkeypatch.setattr(transfer_data, "SLICE", 2)
    spooled = {"StageInFinish": 1700000000, "SUBMIT_Iwd": "/home"}
    queue.add("20.0", "20.1", "20.2", "20.3", **spooled)
    queue.add("21.0", uid=BOB, owner="bob", **spooled)
    looks: list[object] = []
    look = queue.look

    def note(read: Callable[[Ledger, float], Any]) -> object:
        found = look(read)
        looks.append(found)
        if len(looks) == 2:
            assert queue.run("condor_rm", "20.2").code == 0
        return found

    monkeypatch.setattr(queue, "look", note)
    answer = queue.run("condor_transfer_data", "-all")

    assert answer == Answer(
        "Fetching data files...\n",
        "".join(f"Job 20.{proc} has no output yet\n" for proc in (0, 1, 3)),
    )
    assert [len(found) for found in looks[1:]] == [2, 2, 2, 1], "of alice's seven"  # type: ignore[arg-type]
