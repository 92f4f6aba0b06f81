"""Odd clients of the commands' socket, and many of them: each gets its answer, or one line."""

import logging
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.command_socket import exchange_messages, request
from tests.support.fake_rpc_server import FakeRpcServer, run
from tests.support.waiting import wait_until
from vobox.client.client import _connect
from vobox.rpc.connection_limit import ConnectionLimit, OwnerSlots
from vobox.rpc.server import MAX_REQUEST_BYTES, MAX_REQUESTS_BYTES, MAX_STDIN_BYTES, MAX_SUBMITS
from vobox.rpc.types import Answer, Request

# --- odd clients --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"this is the socket of the condor commands"),
        (b"", b"this is the socket of the condor commands"),
        (b"\xff" * 5000, b"this is the socket of the condor commands"),
        (b"thyme-rpc 2 5\nabcde", b"the command speaks version 2 of the protocol"),
        (b"thyme-rpc 1 100\nabc", b"the request is cut short"),
        (b"thyme-rpc 1 0\n", b"the request is cut short"),
        (request("condor_q", count="7"), b"the request is cut short"),
        (request("condor_q", count="²"), b"the request is cut short"),
        (request("condor_q", count="9" * 30), b"the request is cut short"),
        (
            b"thyme-rpc 1 %d\n" % (MAX_REQUEST_BYTES + 1),
            b"bytes of arguments and environment; at most",
        ),
        (b"thyme-rpc 1 " + b"9" * 40 + b"\n", b"bytes of arguments and environment; at most"),
        (request("condor_submit") + b"00000009abc", b"standard input is cut short"),
        (
            request("condor_submit") + b"%08d" % (MAX_STDIN_BYTES + 1),
            b"standard input is cut",
        ),
        (request("condor_submit") + b"-0000001", b"standard input is cut short"),
    ],
)
def test_garbage_is_answered_with_one_line_and_the_next_is_served(
    schedd: FakeRpcServer, data: bytes, text: bytes
) -> None:
    answer = exchange_messages(schedd.path, data, is_all=True)
    assert text in answer and answer.endswith(b"x000000011")
    assert schedd.asked == []
    assert run(schedd.path, "condor_q").returncode == 3


def test_requests_without_end_that_are_none_do_not_fill_the_log(
    schedd: FakeRpcServer, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(40):
        exchange_messages(schedd.path, b"GET / HTTP/1.1\r\n\r\n", is_all=True)
    lines = [each for each in caplog.messages if "refused a request" in each]
    assert len(lines) == 12
    assert lines[-1].startswith(
        f"refused a request of uid {os.getuid()} (32 so far): this is the socket"
    )


def test_a_request_that_is_too_large_is_told_so_before_it_was_read(schedd: FakeRpcServer) -> None:
    answer = exchange_messages(schedd.path, b"thyme-rpc 1 %d\n" % (MAX_REQUEST_BYTES + 1))
    assert b"at most 4194304" in answer


def test_a_client_that_goes_away_disturbs_no_other(schedd: FakeRpcServer) -> None:
    release = threading.Event()
    schedd.handler = lambda _request: Answer("x" * 5_000_000) if release.wait(20) else Answer()
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(schedd.path))
        line.sendall(request("condor_q"))
        wait_until(lambda: schedd.asked, "the request arrived")
    release.set()
    assert len(run(schedd.path, "condor_q").stdout) == 5_000_000


def test_a_client_that_is_killed_before_it_sends_its_input_is_no_fault(
    schedd: FakeRpcServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(schedd.path))
        line.sendall(request("condor_submit"))
        assert line.recv(1, socket.MSG_PEEK), "it is asked for its input, and reads no question"

    wait_until(lambda: "a client went away" in caplog.text, "its end is noticed")
    assert "fault" not in caplog.text
    assert run(schedd.path, "condor_q").returncode == 3


def test_a_slow_reader_and_a_silent_client_keep_no_other_waiting(schedd: FakeRpcServer) -> None:
    schedd.handler = lambda _request: Answer("x" * 5_000_000)
    with socket.socket(socket.AF_UNIX) as slow, socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(schedd.path))
        slow.connect(str(schedd.path))
        slow.sendall(request("condor_q"))
        wait_until(lambda: schedd.asked, "the slow reader was answered")
        assert len(run(schedd.path, "condor_q").stdout) == 5_000_000


def test_a_fault_of_ours_is_one_line_for_the_user_and_a_traceback_in_the_log(
    schedd: FakeRpcServer, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_request: Request) -> Answer:
        raise ZeroDivisionError("oops")

    schedd.handler = fail
    done = run(schedd.path, "condor_q")
    assert done.returncode == 1
    assert done.stderr == b"ERROR: condor_q failed in the schedd; its log tells more\n"
    wait_until(lambda: "oops" in caplog.text, "the log tells more")


def test_the_parts_of_an_answer_are_printed_as_they_come(schedd: FakeRpcServer) -> None:
    release = threading.Event()

    def parts() -> Iterator[Answer]:
        yield Answer("one\n")
        assert release.wait(60)
        yield Answer("two\n", "three\n", 7)

    schedd.handler = lambda _request: Answer("zero\n", more=parts())
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(60)
        line.connect(str(schedd.path))
        line.sendall(request("condor_tail"))
        first = b""
        while b"one" not in first:
            first += line.recv(100)
        release.set()
        while not first.endswith(b"x000000017"):
            first += line.recv(100)
    assert first == (
        b"o00000005zero\no00000004one\no00000000o00000004two\ne00000006three\no00000000x000000017"
    )


def test_a_fault_in_a_later_part_is_one_line_and_a_traceback_in_the_log(
    schedd: FakeRpcServer, caplog: pytest.LogCaptureFixture
) -> None:
    def parts() -> Iterator[Answer]:
        yield Answer("one\n")
        raise ZeroDivisionError("oops")

    schedd.handler = lambda _request: Answer(more=parts())
    done = run(schedd.path, "condor_tail")
    assert (done.returncode, done.stdout) == (1, b"one\n")
    assert done.stderr == b"ERROR: failed in the schedd; its log tells more\n"
    wait_until(lambda: "oops" in caplog.text, "the log tells more")


# --- many of them -------------------------------------------------------------------------------


def test_each_user_may_fill_half_of_what_the_others_leave() -> None:
    limit = ConnectionLimit(1024)
    with ExitStack() as inside:
        counts = {
            uid: sum(not inside.enter_context(limit.enter(uid)) for _ in range(1024))
            for uid in (7, 8, 9)
        }
        assert counts == {7: 512, 8: 256, 9: 128}
        assert not inside.enter_context(limit.enter(10))


def test_a_user_may_fill_half_and_root_all() -> None:
    limit = ConnectionLimit(4)
    with ExitStack() as inside:
        enter = [inside.enter_context(limit.enter(uid)) for uid in (7, 7, 7, 8, 0, 0, 9)]
    half, all_of_it = "2 commands of yours are under way; try again", "4 commands are under way"
    assert enter[:2] + enter[3:5] == [""] * 4
    assert enter[2] == half and enter[5].startswith(all_of_it) and enter[6].startswith(all_of_it)
    with limit.enter(7) as why:
        assert why == ""  # a connection that has ended no longer counts


def test_a_client_that_leaves_connections_open_hears_so_and_the_others_are_served(
    schedd: FakeRpcServer,
) -> None:
    schedd.server.connection_limit = ConnectionLimit(40)
    # as root we may fill it all, as somebody else half of it
    most = 40 if os.geteuid() == 0 else 20
    with ExitStack() as open_ones:
        for _ in range(most - 1):
            idle = open_ones.enter_context(socket.socket(socket.AF_UNIX))
            idle.connect(str(schedd.path))
        wait_until(lambda: schedd.server._busy == most - 1, "all are waited for")
        assert run(schedd.path, "condor_q").returncode == 3
        last = open_ones.enter_context(socket.socket(socket.AF_UNIX))
        last.connect(str(schedd.path))
        wait_until(lambda: schedd.server._busy == most, "the last one is waited for, too")
        done = run(schedd.path, "condor_q")
        assert done.returncode == 1 and b"are under way; try again\n" in done.stderr
    wait_until(lambda: schedd.server._busy == 0, "they are gone")
    assert run(schedd.path, "condor_q").returncode == 3


def test_a_user_has_so_many_submits_at_once_and_another_is_not_kept_waiting(
    schedd: FakeRpcServer,
) -> None:
    inside, together, leave = threading.Semaphore(0), [], threading.Event()
    busy = [0]

    def compute(_request: Request) -> Answer:
        busy[0] += 1
        together.append(busy[0])
        inside.release()
        assert leave.wait(30)
        busy[0] -= 1
        return Answer("done\n")

    schedd.handler = compute
    with ThreadPoolExecutor(MAX_SUBMITS + 3) as clients:
        mine = [
            clients.submit(run, schedd.path, "condor_submit", stdin=b"queue")
            for _ in range(MAX_SUBMITS + 2)
        ]
        for _ in range(MAX_SUBMITS):
            assert inside.acquire(timeout=30)
        with schedd.server.submits.hold(os.getuid() + 1):  # another user's
            pass
        schedd.handler = lambda _request: Answer("jobs\n")
        assert run(schedd.path, "condor_q").stdout == b"jobs\n", "queries do not wait"
        schedd.handler = compute
        leave.set()
        assert {each.result().stdout for each in mine} == {b"done\n"}
    assert max(together) == MAX_SUBMITS


def test_requests_of_a_user_are_read_up_to_so_many_bytes_at_once(schedd: FakeRpcServer) -> None:
    assert schedd.server.request_bytes._each == MAX_REQUESTS_BYTES
    schedd.server.request_bytes = OwnerSlots(1000)
    with socket.socket(socket.AF_UNIX) as unfinished, ThreadPoolExecutor(1) as clients:
        unfinished.connect(str(schedd.path))
        unfinished.sendall(b"thyme-rpc 1 990\n")
        wait_until(lambda: schedd.server.request_bytes._held[os.getuid()] == 990, "it is counted")
        with schedd.server.request_bytes.hold(os.getuid() + 1, 1000):  # another user's
            waiting = clients.submit(exchange_messages, schedd.path, request("condor_q"))
            wait_until(lambda: schedd.server._busy == 2, "the second has come")
            for _ in range(10):  # it would be answered meanwhile
                exchange_messages(schedd.path, b"GET / HTTP/1.1\r\n\r\n")
            assert schedd.asked == []
        unfinished.close()
        assert b"out" in waiting.result(30)


def test_a_command_waits_while_too_many_connect_in_one_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as first:
        server.bind(str(path))
        server.listen(0)
        first.connect(str(path))
        naps = []

        def nap(seconds: float) -> None:
            naps.append(seconds)
            server.accept()[0].close()

        monkeypatch.setattr("vobox.client.client.time.sleep", nap)
        _connect(str(path)).close()
    assert len(naps) == 1


def test_a_thousand_connections_are_opened_and_the_next_command_is_served(
    schedd: FakeRpcServer,
) -> None:
    with ExitStack() as open_ones:
        for _ in range(1000):
            idle = open_ones.enter_context(socket.socket(socket.AF_UNIX))
            idle.connect(str(schedd.path))
            idle.sendall(b"thyme-rpc 1 100\nhalf of it")
        done = run(schedd.path, "condor_q")
        assert done.returncode == 3 or b"are under way; try again" in done.stderr
    assert wait_until(lambda: run(schedd.path, "condor_q").returncode == 3, "it serves again")
