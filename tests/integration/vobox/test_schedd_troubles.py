"""The real schedd, starved of disk and broker, and lied to."""

import os
import resource
import signal
import socket
import subprocess
import sys

import pytest

from tests.support.schedd_process import LiveSchedd
from tests.support.waiting import wait_until
from thyme.protocol import codec
from thyme.protocol.events import Submit
from thyme.protocol.job import JobId, Task

# --- a full disk --------------------------------------------------------------------------------

LIMIT = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_a_full_spool_refuses_jobs_and_takes_them_again_when_there_is_room(
    schedd: LiveSchedd,
) -> None:
    # a limit on the size of files stands for the full disk; the broker's file grows with them
    big = schedd.home / "big"
    big.write_bytes(os.urandom(600_000))
    description = "executable = /bin/true\ntransfer_input_files = big\nqueue"
    schedd.start(wrapper=[sys.executable, "-c", LIMIT, str(1_500_000)])
    assert schedd.process is not None
    refused = []
    for _ in range(6):
        done = schedd.run("condor_submit", stdin=description.encode())
        if done.returncode:
            refused.append(done)
    assert refused, "the limit was never reached"
    for done in refused:
        assert done.returncode == 1 and "\nERROR: " in done.stderr
        assert str(schedd.spool) in done.stderr or str(schedd.broker) in done.stderr
        assert "Traceback" not in done.stderr

    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(schedd.process.pid, resource.RLIMIT_FSIZE, unlimited)

    def submitted() -> bool:
        return schedd.run("condor_submit", stdin=description.encode()).returncode == 0

    wait_until(submitted, "it takes jobs again", state=schedd.said)
    in_ledger = schedd.states()
    with schedd.line() as line:
        recorded = [codec.decode(r.body) for r in line.read(-1, 1000)]
    queued = {str(m.job) for m in recorded if isinstance(m, Submit)}
    assert set(in_ledger) == queued, "what was refused is not queued, what was taken is"
    assert len(queued) == 6 - len(refused) + 1
    assert "Traceback" not in schedd.said()


# --- garbage ------------------------------------------------------------------------------------


def test_garbage_in_the_queue_and_in_the_stream_stops_nothing(schedd: LiveSchedd) -> None:
    schedd.start()
    with schedd.line() as line:
        line.submit("alien_jobs", [b"garbage", b'{"thyme": 99, "kind": "submit"}\n'])
        line.record([b"\xff\xfe"])
    schedd.submit("executable = /bin/true\nqueue")

    schedd.work()

    schedd.wait_for(j1_0=4)
    with schedd.line() as line:
        aside = line.list_dead_letters()
    assert [letter.body for letter in aside] == [b"garbage", b'{"thyme": 99, "kind": "submit"}\n']
    assert "message version 99 is not known here" in aside[1].reason
    assert schedd.said().count("cannot be read and is passed over") == 3
    assert "(3 so far)" in schedd.said()


def test_a_job_of_a_schedd_that_nobody_knows_is_run_and_disturbs_nobody(
    schedd: LiveSchedd,
) -> None:
    schedd.start()
    stranger = Submit(
        "elsewhere", JobId(1, 0), 1.0, "alien_jobs", 0, 0, 0, {}, Task("/bin/true"), life="a1"
    )
    with schedd.line() as line:
        line.submit("alien_jobs", [codec.encode(stranger)])
    schedd.work()
    assert schedd.states() == {}


# --- brokers that do not behave ------------------------------------------------------------------


def test_a_broker_that_accepts_and_says_nothing_does_not_keep_it_from_ending(
    schedd: LiveSchedd,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment = {**os.environ, "THYME_RABBITMQ": f"127.0.0.1:{silent.getsockname()[1]}"}
        command = schedd.command()
        at = command.index("--url")
        process = subprocess.Popen(
            [*command[:at], *command[at + 2 :]], env=environment, stderr=subprocess.PIPE, text=True
        )
        try:
            connected, _address = silent.accept()
            with connected:
                wait_until(
                    lambda: "starting" in schedd.run("condor_q").stderr, "condor_q to be answered"
                )
                assert schedd.run("condor_q").returncode == 1
                process.send_signal(signal.SIGTERM)
                _out, said = process.communicate(timeout=60)
            assert process.returncode == 0
            assert said == "thyme-schedd: broker or disk does not answer; ended without it\n"
            assert not schedd.socket.exists()
        finally:
            process.kill()
            process.communicate()


def test_a_broker_that_is_not_there_is_waited_for_and_told_of(schedd: LiveSchedd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
    schedd.url_file.write_text(f"amqp://someone:hush@{place}\n")
    command = schedd.command()
    at = command.index("--url")
    process = subprocess.Popen(
        [*command[:at], *command[at + 2 :]], env=schedd.environment, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        wait_until(
            lambda: place in schedd.run("condor_q").stderr, "condor_q to say who is not there"
        )
        done = schedd.run("condor_submit", stdin=b"executable = /bin/true\nqueue\n")
        assert (done.returncode, done.stderr.count("\n")) == (1, 2)
        assert done.stderr.startswith("\nERROR: the schedd is not ready: ")
        assert place in done.stderr
        process.send_signal(signal.SIGTERM)
        _out, said = process.communicate(timeout=60)
        assert process.returncode == 0
        assert place in said
        assert "hush" not in said + done.stderr
    finally:
        process.kill()
        process.communicate()


# --- expressions that the ClassAd library's parser may not come back from ------------------------


@pytest.mark.parametrize(
    "text",
    [
        "a" + ".a" * 60_000,
        "+" * 60_000 + "1",
        "&&" * 60_000 + "a",
        "a" + "[0]" * 40_000,
        "(" * 60_000 + "1" + ")" * 60_000,
        "a" + ".a" * 8_000,
        "(" * 8_000 + "1" + ")" * 8_000,
    ],
    ids=lambda text: f"{text[:4]}{len(text)}",
)
@pytest.mark.parametrize("stack", [8 * 1024 * 1024, resource.RLIM_INFINITY], ids=["8 MiB", "any"])
def test_no_expression_of_a_user_ends_the_schedd(schedd: LiveSchedd, text: str, stack: int) -> None:
    if resource.getrlimit(resource.RLIMIT_STACK)[1] != resource.RLIM_INFINITY:
        pytest.skip("the stack of this process is limited for good")
    limit = f"--stack={'unlimited' if stack == resource.RLIM_INFINITY else stack}:unlimited"
    schedd.start(wrapper=["prlimit", limit])
    (schedd.home / "history").write_text(f"A = {text}\n*** Offset = 0\n")

    schedd.run("condor_history", "-file", "history", "-long")
    schedd.run("condor_submit", stdin=f"executable = /bin/true\n+A = {text}\nqueue".encode())
    schedd.run("condor_q", "-constraint", text)

    assert schedd.run("condor_q", "-long").returncode == 0
    assert schedd.process is not None and schedd.process.poll() is None


# --- jobs whose own values cannot be recorded -----------------------------------------------------

HOSTILE = {
    "a number too small": "periodic_hold = true\nperiodic_hold_subcode = -9223372036854775807 - 1",
    "a reason too long": 'periodic_hold = true\n+A0 = "0123456789abcdef"\n'
    + "".join(f"+A{n} = strcat(A{n - 1},A{n - 1})\n" for n in range(1, 21))
    + "periodic_hold_reason = A20",
    "a hold of its own": "+HoldReasonCode = 13\n+HoldReasonSubCode = 99999999999999999999",
}


@pytest.mark.parametrize("lines", HOSTILE.values(), ids=HOSTILE)
def test_no_job_ends_the_schedd_by_what_its_expressions_give(
    schedd: LiveSchedd, lines: str
) -> None:
    schedd.start("--policy-interval", "0.2")
    schedd.run("condor_submit", stdin=f"executable = /bin/true\n{lines}\nqueue\n".encode())
    if "periodic" in lines:
        wait_until(
            lambda: schedd.run("condor_q", "1.0", "-af", "HoldReasonCode").stdout == "3\n",
            "the policy to hold the job",
            state=schedd.said,
        )
    schedd.run("condor_hold", "1.0")
    schedd.run("condor_release", "1.0")

    for _ in range(3):
        done = schedd.run("condor_submit", stdin=b"executable = /bin/true\nqueue\n")
        assert done.returncode == 0, done.stderr + schedd.said()
        assert schedd.process is not None and schedd.process.poll() is None, schedd.said()
        assert schedd.end() == 0
        schedd.start("--policy-interval", "0.2")
