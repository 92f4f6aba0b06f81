"""The commands' socket: a command and its answer, and the place of the socket."""

import os
import socket
import threading
from pathlib import Path

import pytest

from tests.support.command_socket import request
from tests.support.fake_rpc_server import FakeRpcServer, run
from tests.support.few_threads import NO_THREAD, refuse_threads
from tests.support.waiting import wait_until
from vobox.rpc import server
from vobox.rpc.types import Answer

# --- a command and its answer -------------------------------------------------------------------


def test_streams_and_exit_code_come_back_apart(schedd: FakeRpcServer) -> None:
    done = run(schedd.path, "condor_q", "-af", "JobStatus")
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 3)
    (request,) = schedd.asked
    assert (request.command, request.argv) == ("condor_q", ["-af", "JobStatus"])
    assert (request.uid, request.gid) == (os.getuid(), os.getgid())


def test_arguments_directory_and_environment_arrive_byte_by_byte(
    schedd: FakeRpcServer, tmp_path: Path
) -> None:
    here = tmp_path / os.fsdecode(b"caf\xe9 \n dir")
    here.mkdir()
    words = [b"", b"a b\nc", b"caf\xe9", b"-x", b"\xff"]
    env = {"THYME_SCHEDD_SOCKET": str(schedd.path), "ODD": os.fsdecode(b"=x=\xe9\n"), "EMPTY": ""}
    assert run(schedd.path, "condor_rm", *words, cwd=here, env=env).returncode == 3
    (request,) = schedd.asked
    assert [os.fsencode(word) for word in request.argv] == words
    assert request.cwd == str(here)
    assert os.fsencode(request.env["ODD"]) == b"=x=\xe9\n" and request.env["EMPTY"] == ""


def test_what_is_no_utf8_is_printed_as_it_was(schedd: FakeRpcServer) -> None:
    schedd.handler = lambda _request: Answer("caf\udce9 \ud800\n", "käse\n")
    done = run(schedd.path, "condor_q")
    assert done.stderr == "käse\n".encode()
    assert b"caf" in done.stdout and done.returncode == 0


def test_stdin_is_read_only_for_commands_that_want_it(schedd: FakeRpcServer) -> None:
    assert run(schedd.path, "condor_submit", stdin=b"queue\n" * 30000).returncode == 3
    assert run(schedd.path, "condor_q", stdin=b"queue\n").returncode == 3
    assert [request.stdin for request in schedd.asked] == [b"queue\n" * 30000, b""]


def test_a_long_answer_arrives_whole(schedd: FakeRpcServer) -> None:
    text = "".join(f"line {n}\n" for n in range(200_000))
    schedd.handler = lambda _request: Answer(text)
    assert run(schedd.path, "condor_q").stdout == text.encode()


def test_a_client_that_is_silent_when_it_is_asked_is_no_fault_of_the_schedd(
    schedd: FakeRpcServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server._Connection, "timeout", 0.2)
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(60)
        line.connect(str(schedd.path))
        line.sendall(request("condor_submit"))
        answer = b""
        while part := line.recv(1 << 16):
            answer += part
    assert answer.endswith(b"x00000001" + b"1")
    assert b"asked for something, and sends nothing" in answer
    assert "refused a request of uid" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_command_for_which_there_is_no_thread_is_told_so(
    schedd: FakeRpcServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        refuse_threads(patch)
        answers = [run(schedd.path, "condor_q", *["x" * 100_000] * n) for n in (0, 10)]
    said = f"thyme-schedd: {NO_THREAD}; try again\n".encode()
    assert [(each.returncode, each.stderr) for each in answers] == [(1, said)] * 2
    assert schedd.asked == [] and "Traceback" not in caplog.text
    assert caplog.messages[-1] == f"refused a request of uid {os.getuid()} (2 so far): {NO_THREAD}"
    assert run(schedd.path, "condor_q").returncode == 3


# --- the socket's place -------------------------------------------------------------------------


def test_a_dead_schedds_socket_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    made = FakeRpcServer(path)
    assert run(path, "condor_q").returncode == 3
    made.close()


def test_a_living_schedds_socket_is_not_taken(schedd: FakeRpcServer) -> None:
    with pytest.raises(OSError, match="another schedd is serving there"):
        FakeRpcServer(schedd.path)
    assert run(schedd.path, "condor_q").returncode == 3


def test_a_file_in_the_sockets_place_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    path.write_text("precious")
    with pytest.raises(OSError, match="no socket"):
        FakeRpcServer(path)
    assert path.read_text() == "precious"


def test_drain_waits_for_the_answers_under_way(schedd: FakeRpcServer) -> None:
    release = threading.Event()
    schedd.handler = lambda _request: Answer("late\n") if release.wait(20) else Answer()
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(schedd.path))
        line.sendall(request("condor_q"))
        wait_until(lambda: schedd.asked, "the request arrived")
        assert not schedd.server.drain(0.05)
        release.set()
        assert schedd.server.drain(20)
        assert line.recv(100).startswith(b"o00000005late\n")
