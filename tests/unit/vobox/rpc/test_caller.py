"""What the schedd asks of the command that waits for it: its stdin, and to run a program."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.waiting import wait_until
from vobox.client import client
from vobox.rpc import server
from vobox.rpc.server import Server
from vobox.rpc.types import Answer, CommandRefused, Request

REQUEST = b"condor_submit\0/tmp\x000\0"


def handler(request: Request) -> Answer:
    assert request.caller is not None
    try:
        code, output = request.caller.run(["seq", "3"], 10)
        return Answer(f"{code} {output!r} {request.caller.stdin()!r}")
    except CommandRefused as error:
        return Answer(stderr=str(error), code=1)


@contextmanager
def serve(path: Path, answer: Callable[[Request], Answer]) -> Iterator[None]:
    made = Server(path, answer, lambda _command, _argv: False)
    thread = threading.Thread(target=made.serve_forever, args=(0.05,))
    thread.start()
    yield
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    with serve(tmp_path / "s", handler):
        yield tmp_path / "s"


def frames(stream: socket.SocketIO) -> Iterator[tuple[bytes, bytes]]:
    while head := stream.read(9):
        yield head[:1], stream.read(int(head[1:])) if int(head[1:]) else b""


def talk(path: Path, *replies: bytes) -> dict[bytes, bytes]:
    """Return what a client gets that answers each question with the next of these."""
    got: dict[bytes, bytes] = {}
    left = list(replies)
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(60)
        line.connect(str(path))
        line.sendall(b"thyme-rpc 1 %d\n" % len(REQUEST) + REQUEST)
        with line.makefile("rb") as stream:
            for kind, data in frames(stream):  # type: ignore[arg-type]
                got[kind] = got.get(kind, b"") + data
                if kind in (b"r", b"i"):
                    line.sendall(left.pop(0))
                    if not left:
                        line.shutdown(socket.SHUT_WR)
    return got


def test_a_client_that_waits_is_told_from_time_to_time_that_the_schedd_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "ALIVE_SECONDS", 0.0)
    told: list[str] = []

    def work(request: Request) -> Answer:
        assert request.caller is not None
        request.caller.keep_waiting()
        told.append("once")
        assert line.recv(9) == b"o00000000"
        line.close()
        with pytest.raises(CommandRefused, match="the client went away"):
            while True:
                request.caller.keep_waiting()
        told.append("gone")
        return Answer()

    with serve(tmp_path / "s", work), socket.socket(socket.AF_UNIX) as line:
        line.settimeout(60)
        line.connect(str(tmp_path / "s"))
        line.sendall(b"thyme-rpc 1 %d\n" % len(REQUEST) + REQUEST)
        wait_until(lambda: told == ["once", "gone"], "the client to be gone")


def test_a_client_is_not_told_more_often_than_it_needs(tmp_path: Path) -> None:
    def work(request: Request) -> Answer:
        assert request.caller is not None
        for _ in range(1000):
            request.caller.keep_waiting()
        return Answer("done")

    with serve(tmp_path / "s", work):
        assert talk(tmp_path / "s") == {b"o": b"done", b"x": b"0"}


def framed(data: bytes) -> bytes:
    return b"%08d" % len(data) + data


def test_a_program_is_named_with_the_most_that_it_may_print(path: Path) -> None:
    got = talk(path, framed(b"0\n1\n2\n3\n"), framed(b"typed"))

    assert got[b"r"] == b"10\0seq\x003\0"
    assert got[b"o"] == b"0 b'1\\n2\\n3\\n' b'typed'"
    assert got[b"x"] == b"0"


@pytest.mark.parametrize(
    "reply",
    [b"", b"0000", b"xxxxxxxx", b"99999999", b"00000004", framed(b"0"), framed(b"x\n"),
     framed(b"-1\n"), framed(b"0\n" + b"x" * 200), b"00000005" + b"0\n1",
     framed(b"1" * 20 + b"\n")],
)  # fmt: skip
def test_an_answer_that_is_none_ends_the_command_in_words(path: Path, reply: bytes) -> None:
    got = talk(path, reply)

    assert got[b"x"] == b"1"
    assert b"the output of seq is cut short" in got[b"e"]


def test_the_command_runs_the_program_as_it_is_and_without_a_shell(tmp_path: Path) -> None:
    assert client._run_program([b"100", b"seq", b"3"]) == b"0\n1\n2\n3\n"
    assert client._run_program([b"100", b"echo", b"$HOME;", b"*"]) == b"0\n$HOME; *\n"
    assert client._run_program([b"100", b"false"]) == b"1\n"
    assert client._run_program([b"100", b"cat"]) == b"0\n", "its stdin is not ours"
    assert client._run_program([b"100", b"/nope"]) == b"127\n"
    assert client._run_program([b"100", bytes(tmp_path)]) == b"127\n"


def test_a_program_that_prints_without_end_is_ended() -> None:
    code, _, output = client._run_program([b"10", b"yes"]).partition(b"\n")

    assert len(output) == 11
    assert code != b"0"
