"""Several schedds on a real RabbitMQ, and what goes wrong between them and it."""

import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.support.schedd_on_rabbitmq import HERE, PATIENCE, SHELL, Make, asked, lines, slots, until
from tests.support.services.rabbitmq import RabbitServer, VirtualHost
from tests.support.waiting import wait_until
from thyme.broker.amqp.topology import DELIVERY_LIMIT
from thyme.errors import ExitCode
from thyme.protocol import codec
from thyme.protocol.events import Started, Submit

# --- more than one schedd --------------------------------------------------------------------


def test_two_schedds_on_one_pool_do_not_mix_their_jobs(make: Make) -> None:
    one, two = make("vobox1.example.org"), make("vobox2.example.org")
    job = (
        f"{SHELL}arguments = \"-c 'echo $0 $1' {{}} $(ProcId)\"\noutput = out.$(ProcId)\nqueue 10\n"
    )
    for live in (one, two):
        live.start()
    assert [live.submit(job.format(live.name)) for live in (one, two)] == [1, 1]
    until(lambda: len(one.states()) == len(two.states()) == 10, "the jobs to be seen", one)
    asked(one, "condor_hold", "1.9")

    for _ in range(2):
        one.worker("--max-jobs", "0")

    done = {f"1.{proc}": 4 for proc in range(10)}
    until(lambda: two.states() == done, "the jobs of the second", two)
    until(lambda: one.states() == {**done, "1.9": 5}, "the jobs of the first", one)
    for live in (one, two):
        outputs = {path.name: path.read_text() for path in live.home.glob("out.*")}
        last = 9 if live is one else 10
        assert outputs == {f"out.{proc}": f"{live.name} {proc}\n" for proc in range(last)}
        until(lambda: slots(live) == ["Unclaimed"] * 2, "both to see both pilots", live)  # noqa: B023


def test_a_second_schedd_of_the_same_name_is_refused_with_one_line(
    make: Make, tmp_path: Path
) -> None:
    live = make()
    live.start()
    command = live.command()
    for option in ("--spool", "--socket"):
        command[command.index(option) + 1] = str(tmp_path / option)

    second = subprocess.run(
        command, env=live.environment, capture_output=True, text=True, timeout=PATIENCE
    )

    assert second.returncode == ExitCode.BROKER
    assert second.stderr.count("\n") == 1, second.stderr
    assert (
        "another connection already answers as 'thyme.schedd.vobox1.example.org': "
        "a schedd of this name is running"
    ) in second.stderr
    assert "secret" not in second.stderr
    assert asked(live, "condor_q", "-af", "JobStatus") == ""


def test_a_schedd_waits_until_the_broker_has_dropped_the_connection_of_the_one_before(
    make: Make, tmp_path: Path, rabbitmq: VirtualHost
) -> None:
    """Its host was reset: nobody closed the connection."""
    dead, live = make(), make("vobox2.example.org", f"{rabbitmq.url}?heartbeat=5")
    dead.url_file.write_text(f"{rabbitmq.url}?heartbeat=5\n")
    dead.start()
    assert dead.process is not None
    dead.process.send_signal(signal.SIGSTOP)
    live.name = dead.name

    live.start()  # raises if it ends

    waited = [line for line in live.said().splitlines() if "nobody answers there" in line]
    assert len(waited) == 1, live.said()
    assert re.search(
        r"another connection already answers as 'thyme.schedd.vobox1.example.org', and nobody "
        r"answers there: waiting since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d for the broker to drop it, "
        r"at most 15 s$",
        waited[0],
    )
    assert "works again after" in live.said()
    live.wait_for(**{f"j{live.submit(HERE + 'queue')}_0": 1})


def test_a_wrong_password_ends_it_with_one_line_that_does_not_repeat_it(
    make: Make, rabbitmq: VirtualHost
) -> None:
    live = make(url=rabbitmq.url.replace("secret-", "mistyped-"))

    done = subprocess.run(
        live.command(), env=live.environment, capture_output=True, text=True, timeout=PATIENCE
    )

    assert done.returncode == ExitCode.BROKER
    assert done.stderr.count("\n") == 1, done.stderr
    assert f"127.0.0.1:{rabbitmq.server.port}" in done.stderr
    assert "mistyped" not in done.stderr


# --- faults ----------------------------------------------------------------------------------


def test_nothing_is_lost_when_schedd_and_spool_are_lost_while_fifty_jobs_run(make: Make) -> None:
    number = 50
    live = make()
    live.options = ["--lease", "300"]
    live.start()
    os.mkfifo(live.home / "go")
    writer = os.open(live.home / "go", os.O_RDWR)
    for _ in range(number):
        live.worker("--timeout", "90")
    # all have one pipe open to read: they end together, when nobody writes to it any more
    live.submit(
        HERE + "arguments = \"-c 'exec 3< go; echo $0 >> ran; cat <&3; echo out $0' $(ProcId)\"\n"
        f"output = out.$(ProcId)\nlog = log\nqueue {number}\n"
    )
    until(lambda: len(lines(live.home / "ran")) == number, "all to run", live)

    live.kill()
    for path in [*live.spool.iterdir()]:
        path.unlink()
    os.close(writer)  # the jobs end while there is no schedd
    for process in live._others:
        process.wait(PATIENCE)
    live.start()

    completed = {f"1.{proc}": 4 for proc in range(number)}
    until(lambda: live.states() == completed, "all outputs to be written", live)
    for proc in range(number):
        assert (live.home / f"out.{proc}").read_text() == f"out {proc}\n"
    assert sorted(map(int, lines(live.home / "ran"))) == list(range(number))
    log = (live.home / "log").read_text()
    assert [log.count(f"{event} (001.") for event in ("000", "001", "005")] == [number] * 3


def test_a_dead_letter_holds_its_job_and_a_requeued_one_runs(make: Make) -> None:
    live = make()
    live.start()
    live.submit(f"{SHELL}arguments = \"-c 'echo ran'\"\noutput = out.$(ProcId)\nqueue 2\n")
    with live.line() as line:
        for _ in range(2):
            taken = line.take("alien_jobs")
            assert taken is not None
            line.reject(taken, "no worker can read it")
        until(lambda: set(live.states().values()) == {5}, "both to be held", live)
        reasons = asked(
            live, "condor_q", "-af", "HoldReasonCode", "HoldReasonSubCode", "HoldReason"
        )
        text = "its message was put aside by the broker: no worker can read it"
        assert reasons == f"26 74 {text}\n" * 2

        asked(live, "condor_release", "1.1")
        letters = {str(codec.decode(each.body).job): each.id for each in line.list_dead_letters()}  # type: ignore[attr-defined]
        assert line.requeue_dead_letters([letters["1.0"]]) == 1

        live.work("--timeout", "10")
        until(lambda: set(live.states().values()) == {4}, "both to be done", live)
        starts = {
            str(event.job): event.attempt
            for record in line.read(-1, 1000)
            if isinstance(event := codec.decode(record.body), Started)
        }
    assert starts == {"1.0": 1, "1.1": 1}
    assert [(live.home / f"out.{proc}").read_text() for proc in (0, 1)] == ["ran\n"] * 2


def test_a_job_that_workers_give_back_while_the_schedd_is_away_runs_when_it_is_back(
    make: Make,
) -> None:
    live = make()
    live.start()
    live.submit(f"{SHELL}arguments = \"-c 'echo ran'\"\noutput = out\nqueue\n")
    assert live.end() == 0
    with live.line() as line:
        for _ in range(DELIVERY_LIMIT):
            line.requeue(wait_until(lambda: line.take("alien_jobs"), "the message"))
        # RabbitMQ 3.10 counts what is given back as it counts deaths
        assert wait_until(lambda: line.take("alien_jobs"), "the message", timeout=PATIENCE)

    assert live.worker("--timeout", "3").wait(PATIENCE) == ExitCode.NO_WORK
    assert lines(live.home / "out") == []
    live.start()
    live.work("--timeout", "10")

    until(lambda: live.states() == {"1.0": 4}, "the job to be done", live)
    assert lines(live.home / "out") == ["ran"]


def test_a_broker_that_stops_is_told_of_and_its_return_heals_everything(
    make: Make, make_rabbitmq: Callable[..., RabbitServer]
) -> None:
    server = make_rabbitmq()
    live = make(url=server.vhost().url)
    live.start()
    live.submit(f"{SHELL}arguments = \"-c 'echo done'\"\noutput = out\nqueue\n")
    server.stop()

    until(lambda: live.run("condor_q").returncode == 1, "condor_q to say so", live)
    plain = live.run("condor_q")
    assert "1 jobs; 0 completed, 0 removed, 1 idle" in plain.stdout
    assert plain.stderr.startswith("condor_q: warning: answered from the ledger")
    assert plain.stderr.endswith(" s old)\n")
    status = live.run("condor_status")
    assert (status.stdout, status.returncode) == ("", 1)
    assert status.stderr.startswith("Error: communication error\nThe slots are not known: ")
    refused = live.run("condor_submit", stdin=f"{SHELL}queue\n".encode())
    assert (refused.stdout, refused.returncode) == ("Submitting job(s)", 1)
    assert refused.stderr.startswith("\nERROR: the schedd is not ready: ")
    assert refused.stderr.count("\n") == 2

    server.up()

    until(lambda: live.run("condor_q").returncode == 0, "it to be found again", live)
    live.work("--timeout", "5")
    until(lambda: live.states() == {"1.0": 4}, "the job to be done", live)
    assert (live.home / "out").read_text() == "done\n"
    with live.line() as line:
        bodies = [codec.decode(record.body) for record in line.read(-1, 1000)]
    assert sum(isinstance(each, Submit) for each in bodies) == 1
    for text in (live.said(), plain.stderr, refused.stderr):
        assert "secret" not in text and "Traceback" not in text
