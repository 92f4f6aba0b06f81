"""The commands' socket: the wire, odd clients, odd servers, and what the thin side says."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.vobox_live import BARE, ROOT, thin
from tests.waiting import wait_until
from vobox.gate import Gate
from vobox.rpc import MAX_REQUEST, MAX_STDIN, Server
from vobox.rpc_types import Answer, Request
from vobox.thin import _connect


class Schedd:
    """A server whose answers the test gives; remembers what it was asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[Request] = []
        self.handler: Callable[[Request], Answer] = lambda _request: Answer("out\n", "err\n", 3)
        self.server = Server(path, self._handle, lambda command, _argv: command == "condor_submit")
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self._thread.start()

    def _handle(self, request: Request) -> Answer:
        self.asked.append(request)
        return self.handler(request)

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.drain(5)
        self.server.server_close()


@pytest.fixture
def schedd(tmp_path: Path) -> Iterator[Schedd]:
    made = Schedd(tmp_path / "s.sock")
    yield made
    made.close()


def run(
    path: Path,
    name: str,
    *argv: str | bytes,
    stdin: bytes | None = b"",
    redirect: str = "",
    **more: object,
) -> subprocess.CompletedProcess[bytes]:
    """Run a thin command; ``redirect`` is put behind it (``>&-``), ``more`` goes to subprocess."""
    how: dict[str, object] = {"env": {"THYME_SCHEDD_SOCKET": str(path)}, "timeout": 30, **more}
    command: list[str | bytes] = [*thin(name), *argv]
    if redirect:
        command = ["sh", "-c", f'"$@" {redirect}', "sh", *command]
    return subprocess.run(command, input=stdin, capture_output=True, **how)  # type: ignore[call-overload, no-any-return]


def talk(path: Path, data: bytes, then_close: bool = True) -> bytes:
    """Send raw bytes; everything that comes back."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(20)
        line.connect(str(path))
        line.sendall(data)
        if then_close:
            line.shutdown(socket.SHUT_WR)
        parts = []
        try:
            while part := line.recv(1 << 16):
                parts.append(part)
        except ConnectionResetError:
            pass
        return b"".join(parts)


def asking(*words: bytes, count: bytes | None = None) -> bytes:
    command, cwd, *argv = words
    body = b"".join(w + b"\0" for w in (command, cwd, count or b"%d" % len(argv), *argv))
    return b"thyme-rpc 1 %d\n" % len(body) + body


# --- a command and its answer -------------------------------------------------------------------


def test_streams_and_exit_code_come_back_apart(schedd: Schedd) -> None:
    done = run(schedd.path, "condor_q", "-af", "JobStatus")
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 3)
    (request,) = schedd.asked
    assert (request.command, request.argv) == ("condor_q", ["-af", "JobStatus"])
    assert (request.uid, request.gid) == (os.getuid(), os.getgid())


def test_arguments_directory_and_environment_arrive_byte_by_byte(
    schedd: Schedd, tmp_path: Path
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


def test_what_is_no_utf8_is_printed_as_it_was(schedd: Schedd) -> None:
    schedd.handler = lambda _request: Answer("caf\udce9 \ud800\n", "käse\n")
    done = run(schedd.path, "condor_q")
    assert done.stderr == "käse\n".encode()
    assert b"caf" in done.stdout and done.returncode == 0


def test_stdin_is_read_only_for_commands_that_want_it(schedd: Schedd) -> None:
    assert run(schedd.path, "condor_submit", stdin=b"queue\n" * 30000).returncode == 3
    assert run(schedd.path, "condor_q", stdin=b"queue\n").returncode == 3
    assert [request.stdin for request in schedd.asked] == [b"queue\n" * 30000, b""]


def test_a_long_answer_arrives_whole(schedd: Schedd) -> None:
    text = "".join(f"line {n}\n" for n in range(200_000))
    schedd.handler = lambda _request: Answer(text)
    assert run(schedd.path, "condor_q").stdout == text.encode()


# --- odd surroundings of a command --------------------------------------------------------------


def test_a_closed_stdin_is_empty(schedd: Schedd) -> None:
    done = run(schedd.path, "condor_submit", stdin=None, redirect="<&-")
    assert (done.stdout, done.returncode) == (b"out\n", 3)
    assert schedd.asked[0].stdin == b""


@pytest.mark.parametrize("redirect", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_outputs_change_nothing_of_what_is_done(schedd: Schedd, redirect: str) -> None:
    done = run(schedd.path, "condor_rm", "1.0", stdin=None, redirect=redirect)
    assert done.returncode == 3
    assert schedd.asked[0].argv == ["1.0"]
    assert done.stdout == (b"" if ">&-" in redirect.replace("2>&-", "") else b"out\n")


def test_a_broken_pipe_is_no_traceback(schedd: Schedd) -> None:
    schedd.handler = lambda _request: Answer("x" * 1_000_000, "", 0)
    done = run(schedd.path, "condor_q", stdin=None, redirect="| head -c 1")
    assert (done.stdout, done.stderr) == (b"x", b"")


def test_an_empty_environment_and_no_home_are_fine(tmp_path: Path) -> None:
    done = run(tmp_path, "condor_q", env={})
    assert done.returncode == 1
    assert b"no thyme-schedd answers at /run/thyme/schedd.sock" in done.stderr


def test_the_users_own_socket_is_found_in_his_home(tmp_path: Path) -> None:
    (tmp_path / ".thyme").mkdir()
    made = Schedd(tmp_path / ".thyme/schedd.sock")
    if Path("/run/thyme/schedd.sock").exists():
        pytest.skip("a schedd serves this whole machine")
    done = run(tmp_path, "condor_q", env={"HOME": str(tmp_path)})
    made.close()
    assert done.returncode == 3


def test_a_directory_that_is_gone_stops_condor_submit_alone(schedd: Schedd, tmp_path: Path) -> None:
    gone = tmp_path / "gone"

    def in_gone(name: str) -> subprocess.CompletedProcess[bytes]:
        gone.mkdir()
        there = f'cd "{gone}" && rmdir "{gone}" && exec "$@"'
        return subprocess.run(
            ["sh", "-c", there, "sh", *thin(name)], input=b"", capture_output=True, timeout=30,
            env={"THYME_SCHEDD_SOCKET": str(schedd.path)},
        )  # fmt: skip

    assert in_gone("condor_q").returncode == 3
    done = in_gone("condor_submit")
    assert done.returncode == 1
    assert done.stderr.startswith(b"\nERROR: the current directory is gone (")
    assert len(schedd.asked) == 1


def test_thin_commands_load_next_to_nothing() -> None:
    program = (
        f"import os, sys; sys.path.insert(0, {str(ROOT)!r}); before = set(sys.modules);"
        "import vobox.condor_q; print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([*BARE, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["_socket", "vobox", "vobox.condor_q", "vobox.thin"]


# --- no schedd ----------------------------------------------------------------------------------

DOWN = {
    "condor_submit": (
        "\nERROR: Failed to connect to local queue manager\n"
        "CEDAR:6001:Failed to connect to <{path}>\n"
    ),
    "condor_q": (
        "\n-- Failed to fetch ads from: <{path}> : {host}\n"
        "CEDAR:6001:Failed to connect to <{path}>\n"
    ),
    "condor_history": "Error: communication error\nCEDAR:6001:Failed to connect to <{path}>\n",
    "condor_status": "Error: communication error\nCEDAR:6001:Failed to connect to <{path}>\n",
    "condor_rm 1.0": (
        "DCSchedd::actOnJobs:6001:Failed to connect to schedd\nNo result found for job 1.0\n"
    ),
    "condor_hold 5": (
        "DCSchedd::actOnJobs:6001:Failed to connect to schedd\n"
        "Couldn't find/hold all jobs in cluster 5\n"
    ),
    "condor_vacate_job -fast -r because 1.0": (
        "DCSchedd::actOnJobs:6001:Failed to connect to schedd\nNo result found for job 1.0\n"
    ),
    "condor_suspend 5": (
        "DCSchedd::actOnJobs:6001:Failed to connect to schedd\n"
        "Couldn't find/suspend all jobs in cluster 5\n"
    ),
    "condor_qedit 5 A 1": "Failed to connect to queue manager <{path}>\n",
    "condor_prio +1 5": "Failed to connect to queue manager <{path}>\n",
    "condor_config_val HISTORY": "Can't connect to schedd on {host}\n",
    "condor_tail 5.0": "Can't find address of local schedd\n",
    "condor_release -reason x 1.1 -constraint A==1 bob -all": (
        "DCSchedd::actOnJobs:6001:Failed to connect to schedd\nNo result found for job 1.1\n"
        "DCSchedd::actOnJobs:6001:Failed to connect to schedd\n"
        "Couldn't find/release all jobs matching constraint (A==1)\n"
        "DCSchedd::actOnJobs:6001:Failed to connect to schedd\n"
        'Couldn\'t find/release all jobs of user "bob"\n'
        "DCSchedd::actOnJobs:6001:Failed to connect to schedd\n"
        "Couldn't find/release all jobs\n"
    ),
}


@pytest.mark.parametrize("command", DOWN)
def test_without_a_schedd_each_command_says_htcondors_words_and_one_line_of_ours(
    tmp_path: Path, command: str
) -> None:
    path = tmp_path / "s.sock"
    done = run(path, *command.split())
    theirs = DOWN[command].format(path=path, host=os.uname().nodename)
    ours = (
        f"no thyme-schedd answers at {path} (No such file or directory); start it, or name its "
        "socket in THYME_SCHEDD_SOCKET\n"
    )
    assert (done.stdout, done.stderr.decode(), done.returncode) == (b"", theirs + ours, 1)


def test_condor_version_needs_no_schedd_and_takes_laws_empty_argument(tmp_path: Path) -> None:
    done = run(tmp_path / "s.sock", "condor_version", "")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.decode().splitlines()] == [
        "$CondorVersion:", "$CondorPlatform:",
    ]  # fmt: skip


@pytest.mark.parametrize("what", ["file", "directory", "too long"])
def test_a_path_that_is_no_socket_is_explained(tmp_path: Path, what: str) -> None:
    path = tmp_path / ("x" * 200 if what == "too long" else "thing")
    if what == "file":
        path.write_text("hello")
    elif what == "directory":
        path.mkdir()
    done = run(path, "condor_q")
    assert done.returncode == 1
    assert f"no thyme-schedd answers at {path} (".encode() in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"what answers there is no thyme-schedd"),
        (b"o0000", b"the schedd broke off: no more to read"),
        (b"", b"the schedd broke off: no more to read"),
        (b"o00000003abc", b"the schedd broke off: no more to read"),
    ],
)
def test_a_server_that_is_no_schedd_is_explained(
    tmp_path: Path, answer: bytes, text: bytes
) -> None:
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            line, _ = server.accept()
            with line:
                line.recv(1 << 16)
                line.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        done = run(path, "condor_q")
        thread.join()
    assert done.returncode == 1
    assert text in done.stderr and b"Traceback" not in done.stderr


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
        (asking(b"condor_q", b"/", count=b"7"), b"the request is cut short"),
        (asking(b"condor_q", b"/", count="²".encode()), b"the request is cut short"),
        (asking(b"condor_q", b"/", count=b"9" * 30), b"the request is cut short"),
        (b"thyme-rpc 1 %d\n" % (MAX_REQUEST + 1), b"bytes of arguments and environment; at most"),
        (b"thyme-rpc 1 " + b"9" * 40 + b"\n", b"bytes of arguments and environment; at most"),
        (asking(b"condor_submit", b"/") + b"00000009abc", b"standard input is cut short"),
        (asking(b"condor_submit", b"/") + b"%08d" % (MAX_STDIN + 1), b"standard input is cut"),
        (asking(b"condor_submit", b"/") + b"-0000001", b"standard input is cut short"),
    ],
)
def test_garbage_is_answered_with_one_line_and_the_next_is_served(
    schedd: Schedd, data: bytes, text: bytes
) -> None:
    answer = talk(schedd.path, data)
    assert text in answer and answer.endswith(b"x000000011")
    assert schedd.asked == []
    assert run(schedd.path, "condor_q").returncode == 3


def test_a_request_that_is_too_large_is_told_so_before_it_was_read(schedd: Schedd) -> None:
    answer = talk(schedd.path, b"thyme-rpc 1 %d\n" % (MAX_REQUEST + 1), then_close=False)
    assert b"at most 4194304" in answer


def test_a_client_that_goes_away_disturbs_nobody(schedd: Schedd) -> None:
    release = threading.Event()
    schedd.handler = lambda _request: Answer("x" * 5_000_000) if release.wait(20) else Answer()
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(schedd.path))
        line.sendall(asking(b"condor_q", b"/"))
        wait_until(lambda: schedd.asked, "the request arrived")
    release.set()
    assert len(run(schedd.path, "condor_q").stdout) == 5_000_000


def test_a_slow_reader_and_a_silent_client_keep_nobody_waiting(schedd: Schedd) -> None:
    schedd.handler = lambda _request: Answer("x" * 5_000_000)
    with socket.socket(socket.AF_UNIX) as slow, socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(schedd.path))
        slow.connect(str(schedd.path))
        slow.sendall(asking(b"condor_q", b"/"))
        wait_until(lambda: schedd.asked, "the slow reader was answered")
        assert len(run(schedd.path, "condor_q").stdout) == 5_000_000


def test_a_fault_of_ours_is_one_line_for_the_user_and_a_traceback_in_the_log(
    schedd: Schedd, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_request: Request) -> Answer:
        raise ZeroDivisionError("oops")

    schedd.handler = fail
    done = run(schedd.path, "condor_q")
    assert done.returncode == 1
    assert done.stderr == b"ERROR: condor_q failed in the schedd; its log tells more\n"
    wait_until(lambda: "oops" in caplog.text, "the log tells more")


def test_the_parts_of_an_answer_are_printed_as_they_come(schedd: Schedd) -> None:
    release = threading.Event()

    def parts() -> Iterator[Answer]:
        yield Answer("one\n")
        assert release.wait(60)
        yield Answer("two\n", "three\n", 7)

    schedd.handler = lambda _request: Answer("zero\n", more=parts())
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(60)
        line.connect(str(schedd.path))
        line.sendall(asking(b"condor_tail", b"/"))
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
    schedd: Schedd, caplog: pytest.LogCaptureFixture
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


def test_a_user_may_fill_half_and_root_all() -> None:
    gate = Gate(4)
    with ExitStack() as inside:
        enter = [inside.enter_context(gate.entered(uid)) for uid in (7, 7, 7, 8, 0, 0, 9)]
    half, all_of_it = "2 commands of yours are under way; try again", "4 commands are under way"
    assert enter[:2] + enter[3:5] == [""] * 4
    assert enter[2] == half and enter[5].startswith(all_of_it) and enter[6].startswith(all_of_it)
    with gate.entered(7) as why:
        assert why == ""  # who has left makes room


def test_a_client_that_leaves_connections_open_hears_so_and_the_others_are_served(
    schedd: Schedd,
) -> None:
    schedd.server.gate = Gate(40)
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

        monkeypatch.setattr("vobox.thin.time.sleep", nap)
        _connect(str(path)).close()
    assert len(naps) == 1


def test_a_thousand_connections_are_opened_and_the_next_command_is_served(schedd: Schedd) -> None:
    with ExitStack() as open_ones:
        for _ in range(1000):
            idle = open_ones.enter_context(socket.socket(socket.AF_UNIX))
            idle.connect(str(schedd.path))
            idle.sendall(b"thyme-rpc 1 100\nhalf of it")
        done = run(schedd.path, "condor_q")
        assert done.returncode == 3 or b"are under way; try again" in done.stderr
    assert wait_until(lambda: run(schedd.path, "condor_q").returncode == 3, "it serves again")


# --- the socket's place -------------------------------------------------------------------------


def test_a_dead_schedds_socket_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    made = Schedd(path)
    assert run(path, "condor_q").returncode == 3
    made.close()


def test_a_living_schedds_socket_is_not_taken(schedd: Schedd) -> None:
    with pytest.raises(OSError, match="another schedd is serving there"):
        Schedd(schedd.path)
    assert run(schedd.path, "condor_q").returncode == 3


def test_a_file_in_the_sockets_place_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    path.write_text("precious")
    with pytest.raises(OSError, match="no socket"):
        Schedd(path)
    assert path.read_text() == "precious"


def test_drain_waits_for_the_answers_under_way(schedd: Schedd) -> None:
    release = threading.Event()
    schedd.handler = lambda _request: Answer("late\n") if release.wait(20) else Answer()
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(schedd.path))
        line.sendall(asking(b"condor_q", b"/"))
        wait_until(lambda: schedd.asked, "the request arrived")
        assert not schedd.server.drain(0.05)
        release.set()
        assert schedd.server.drain(20)
        assert line.recv(100).startswith(b"o00000005late\n")
