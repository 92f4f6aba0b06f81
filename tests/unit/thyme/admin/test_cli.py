"""``thyme-admin`` on the embedded broker: what it says, and what it does to the messages."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_schedd import submission
from thyme.admin import cli
from thyme.broker import Transport, connect
from thyme.protocol import codec
from thyme.protocol.job import Task

POOL = "alien_jobs"
SECRET = "hush-hush"  # noqa: S105
GOOD = codec.encode(submission(Task("/bin/true", environment={"TOKEN": SECRET}), job="12.3"))
BAD = b'{"thyme": 99, "token": "hush-hush"}\n'


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    made = f"sqlite://{tmp_path}/broker.db"
    monkeypatch.setenv("THYME_URL", made)
    for name in ("THYME_URL_FILE", "THYME_QUEUE", "THYME_LANES"):
        monkeypatch.delenv(name, raising=False)
    return made


@pytest.fixture
def broker(url: str) -> Iterator[Transport]:
    transport = connect(url)
    yield transport
    transport.close()


def put_aside(broker: Transport, *bodies: bytes, reason: str = "version 99 is not known") -> None:
    broker.submit(POOL, bodies)
    for _ in bodies:
        delivery = broker.take(POOL)
        assert delivery is not None
        broker.reject(delivery, reason)


def asked(capsys: pytest.CaptureFixture[str], *argv: str) -> Any:
    assert cli.main([*argv, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


# --- looking -------------------------------------------------------------------------------


def test_status_tells_what_waits(broker: Transport, capsys: pytest.CaptureFixture[str]) -> None:
    broker.submit(POOL, [GOOD, GOOD])
    put_aside(broker, BAD)
    assert cli.main(["status", "--pool", POOL, "--pool", "other"]) == 0
    assert capsys.readouterr().out == (
        "jobs\talien_jobs\t2\t?\njobs\tother\t0\t?\ndead\t\t1\t?\nstream\t\t4\t?\n"
    )


def test_status_shows_the_pool_of_the_environment(
    broker: Transport, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THYME_QUEUE", "other")
    document = asked(capsys, "status")
    assert document["queues"][0] == {
        "kind": "jobs", "pool": "other", "messages": 0, "consumers": None,
    }  # fmt: skip


def test_status_shows_each_lane(
    broker: Transport, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.submit(f"{POOL}.lane.600", [GOOD])
    expected = {POOL: 0, f"{POOL}.lane.600": 1, f"{POOL}.lane.long": 0, f"{POOL}.lane.overdue": 0}
    shown = [asked(capsys, "status", "--lanes", "10m")]
    monkeypatch.setenv("THYME_LANES", "600")
    shown.append(asked(capsys, "status"))
    for document in shown:
        jobs = [each for each in document["queues"] if each["kind"] == "jobs"]
        assert {each["pool"]: each["messages"] for each in jobs} == expected


def test_purging_a_pool_purges_its_lanes_and_purging_a_lane_that_lane(
    broker: Transport, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THYME_LANES", "10m")
    for queue in (POOL, f"{POOL}.lane.600", f"{POOL}.lane.600", f"{POOL}.lane.long"):
        broker.submit(queue, [GOOD])
    assert cli.main(["purge", f"{POOL}.lane.600"]) == 1
    assert f"{POOL}.lane.600 has 2 messages" in capsys.readouterr().err
    assert cli.main(["purge", POOL]) == 1
    assert f"{POOL} has 4 messages" in capsys.readouterr().err

    assert asked(capsys, "purge", f"{POOL}.lane.600", "--yes") == {"put_aside": 2}
    assert asked(capsys, "purge", POOL, "--yes") == {"put_aside": 2}


@pytest.mark.usefixtures("broker")
def test_purging_a_pool_that_nobody_uses_says_that_nothing_was_done(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["purge", "alien_jbos"]) == 1
    assert capsys.readouterr().err == (
        "thyme-admin: no message waits in alien_jbos: there is nothing to do\n"
    )
    assert cli.main(["purge", "alien_jbos", "--yes"]) == 0
    assert capsys.readouterr().out == "no message waits in alien_jbos: nothing was done\n"


def test_dead_letters_are_listed_with_their_job_and_never_with_their_content(
    broker: Transport, capsys: pytest.CaptureFixture[str]
) -> None:
    put_aside(broker, GOOD, BAD, reason="version\n99 \x1b[31mis not known")
    assert cli.main(["dead"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    readable, garbage = (line.split("\t") for line in lines)
    assert readable[2:5] == [POOL, "12.3 of vobox", str(len(GOOD))]
    assert garbage[2:5] == [POOL, "?", str(len(BAD))]
    assert readable[5] == "version 99  [31mis not known"
    assert SECRET not in "".join(lines)
    document = asked(capsys, "dead")
    assert [each["job"] for each in document["dead"]] == ["12.3", ""]
    assert document["dead"][0]["reason"] == "version\n99 \x1b[31mis not known"
    assert SECRET not in json.dumps(document)


def test_an_empty_list_of_dead_letters_is_reported(
    broker: Transport, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["dead"]) == 0
    assert capsys.readouterr().out == "no dead letters\n"
    assert asked(capsys, "dead") == {"dead": []}


def test_a_terminal_gets_a_table_with_a_heading(
    broker: Transport, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put_aside(broker, GOOD, reason="[red]why[/red]")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "xterm")
    assert cli.main(["dead"]) == 0
    head, line = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert head.split() == ["id", "put", "aside", "pool", "job", "bytes", "reason"]
    # what somebody else wrote is no markup of ours
    assert line.rstrip().endswith("[red]why[/red]")


def test_a_narrow_terminal_shows_the_whole_id_which_has_to_be_typed_again(
    broker: Transport, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put_aside(broker, GOOD, reason="put aside by an administrator, who had a reason")
    chosen = asked(capsys, "dead")["dead"][0]["id"]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    assert cli.main(["dead"]) == 0
    said = capsys.readouterr().out
    assert chosen in said
    assert "…" not in said


# --- queueing again ----------------------------------------------------------------------------


def test_a_dead_letter_is_queued_again_by_its_id(
    broker: Transport, capsys: pytest.CaptureFixture[str]
) -> None:
    put_aside(broker, GOOD, BAD)
    chosen = asked(capsys, "dead")["dead"][0]["id"]
    assert cli.main(["requeue-dead", chosen]) == 0
    assert capsys.readouterr().out == "1 dead letter is queued again\n"
    delivery = broker.take(POOL)
    assert delivery is not None
    assert delivery.body == GOOD
    assert [letter.body for letter in broker.list_dead_letters()] == [BAD]


def test_an_unknown_id_is_named_and_the_others_are_requeued(
    broker: Transport, capsys: pytest.CaptureFixture[str]
) -> None:
    put_aside(broker, GOOD)
    chosen = asked(capsys, "dead")["dead"][0]["id"]
    assert cli.main(["requeue-dead", "nobody", chosen]) == 1
    said = capsys.readouterr()
    assert said.out == "1 dead letter is queued again\n"
    assert said.err == "thyme-admin: no dead letter nobody\n"
    assert broker.count_ready(POOL) == 1


def test_all_dead_letters_are_queued_again(
    broker: Transport, capsys: pytest.CaptureFixture[str]
) -> None:
    put_aside(broker, GOOD, BAD)
    assert asked(capsys, "requeue-dead", "--all") == {"requeued": 2}
    assert broker.count_ready(POOL) == 2


@pytest.mark.parametrize("argv", [["requeue-dead"], ["requeue-dead", "--all", "x"]])
def test_requeueing_wants_ids_or_all(
    broker: Transport, capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    assert cli.main(argv) == 6
    assert capsys.readouterr().err == (
        "thyme-admin: requeue-dead: give the ids that `thyme-admin dead` shows, or --all\n"
    )


# --- purging -------------------------------------------------------------------------------------


def test_purging_a_pool_makes_dead_letters_of_its_messages_and_records_them(
    broker: Transport, capsys: pytest.CaptureFixture[str]
) -> None:
    broker.submit(POOL, [GOOD, BAD])
    broker.submit("other", [GOOD])
    assert cli.main(["purge", POOL, "--yes"]) == 0
    assert capsys.readouterr().out == (
        "2 messages of alien_jobs are dead letters; their jobs are held\n"
    )
    assert (broker.count_ready(POOL), broker.count_ready("other")) == (0, 1)
    assert [letter.body for letter in broker.list_dead_letters()] == [GOOD, BAD]
    told = [record for record in broker.read(-1, 10) if record.key == "dead.alien_jobs"]
    assert [record.body for record in told] == [GOOD, BAD]
    assert {record.reason for record in told} == {"put aside by an administrator"}


def test_purging_the_dead_deletes_them(
    broker: Transport, capsys: pytest.CaptureFixture[str]
) -> None:
    put_aside(broker, GOOD, BAD)
    assert asked(capsys, "purge", "dead", "--yes") == {"purged": 2}
    assert broker.list_dead_letters() == []


def test_without_yes_purging_only_says_what_it_would_mean(
    broker: Transport, capsys: pytest.CaptureFixture[str]
) -> None:
    broker.submit(POOL, [GOOD, GOOD])
    put_aside(broker, BAD)
    assert cli.main(["purge", POOL]) == 1
    assert capsys.readouterr().err == (
        "thyme-admin: alien_jobs has 2 messages: --yes makes dead letters of all, and the schedd "
        "holds their jobs (condor_release queues them again); running jobs go on\n"
    )
    assert cli.main(["purge", "dead"]) == 1
    assert capsys.readouterr().err == (
        "thyme-admin: there is 1 dead letter: --yes deletes all; jobs held because of them stay "
        "held (condor_release queues them again, condor_rm removes them)\n"
    )
    assert cli.main(["purge", "dead", "--yes"]) == 0
    assert capsys.readouterr().out == "1 dead letter is gone\n"
    assert cli.main(["purge", "dead"]) == 1
    assert capsys.readouterr().err == "thyme-admin: no dead letters: there is nothing to do\n"
    put_aside(broker, BAD)
    assert broker.count_ready(POOL) == 2
    assert len(broker.list_dead_letters()) == 1


# --- what can be wrong -------------------------------------------------------------------------


def test_without_a_broker_it_says_how_to_name_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("THYME_URL", "THYME_URL_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert cli.main(["status"]) == 6
    assert capsys.readouterr().err == (
        "thyme-admin: no broker named: use --url, THYME_URL_FILE, THYME_URL or THYME_RABBITMQ\n"
    )


def test_a_broker_that_cannot_be_used_is_exit_code_4(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.main(["status", "--url", f"sqlite://{tmp_path}/no/such/broker.db"]) == 4
    said = capsys.readouterr().err
    assert (
        said == f"thyme-admin: broker {tmp_path}/no/such/broker.db: no such file; the schedd "
        "makes it\n"
    )


def test_only_topology_makes_a_broker(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["dead"], ["purge", POOL], ["requeue-dead", "--all"]):
        assert cli.main(argv) == 4
        assert "no such file" in capsys.readouterr().err
    assert cli.main(["topology", "--pool", ""]) == 6
    assert "pool '': give 1 to 255" in capsys.readouterr().err
    for _ in range(2):
        assert cli.main(["topology"]) == 0
    assert capsys.readouterr().out.endswith("all there, and as it should be\n")


def test_the_path_of_the_authority_is_one_that_every_program_finds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["roles", "--dir", str(tmp_path), "--tls", "--ca", "ca.pem"]) == 6

    assert capsys.readouterr().err == (
        "thyme-admin: argument --ca: give an absolute path, not 'ca.pem'; "
        "see thyme-admin roles --help\n"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("argv", [[], ["explode"], ["purge"], ["roles"], ["status", "--pool"]])
def test_a_wrong_command_line_is_exit_code_6(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(argv) == 6
    said = capsys.readouterr().err
    assert said.startswith("thyme-admin: ")
    assert said.endswith("--help\n")
    assert said.count("\n") == 1


def test_a_wrong_url_is_told_with_the_file_that_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "url").write_text('{"users": "secret"}\n')
    monkeypatch.setenv("THYME_URL_FILE", str(tmp_path / "url"))

    assert cli.main(["status"]) == 6

    assert capsys.readouterr().err.startswith(
        f"thyme-admin: THYME_URL_FILE: {tmp_path}/url: broker URL: no URL; use amqp://"
    )
