"""The thin commands in odd surroundings, without a schedd, and with something that is none."""

import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_rpc_server import FakeRpcServer, run
from tests.support.schedd_process import BARE, ROOT, thin
from vobox.client import version
from vobox.client.client import DEFAULT_SOCKET
from vobox.rpc.types import Answer
from vobox.supervisor.settings import VARIABLES

# --- odd surroundings of a command --------------------------------------------------------------


def test_a_closed_stdin_is_empty(schedd: FakeRpcServer) -> None:
    done = run(schedd.path, "condor_submit", stdin=None, redirect="<&-")
    assert (done.stdout, done.returncode) == (b"out\n", 3)
    assert schedd.asked[0].stdin == b""


@pytest.mark.parametrize("name", ["fifo", "/dev/stdin", "<(printf '%s' 'executable = x')"])
def test_a_description_that_is_a_pipe_is_sent_as_stdin(
    schedd: FakeRpcServer, tmp_path: Path, name: str
) -> None:
    text = "executable = x"
    if name == "fifo":
        os.mkfifo(tmp_path / "fifo")
        name = str(tmp_path / "fifo")
        threading.Thread(target=lambda: (tmp_path / "fifo").write_text(text), daemon=True).start()
    command = f"{shlex.join(thin('condor_submit'))} -terse {name} key=value"
    env = {"PATH": os.environ["PATH"], "THYME_SCHEDD_SOCKET": str(schedd.path)}
    done = subprocess.run(
        ["bash", "-c", command], env=env, input=text.encode(), capture_output=True, timeout=30
    )
    assert (done.stdout, done.returncode) == (b"out\n", 3)
    assert schedd.asked[0].argv == ["-terse", "key=value"]
    assert schedd.asked[0].stdin == text.encode()


@pytest.mark.parametrize(
    ("words", "sent"),
    [
        ("-dry-run /dev/null x.sub", None), ("--dump /dev/null x.sub", None),
        ("-append /dev/null x.sub", None), ("-n /dev/null x.sub", None),
        ("-queue x from /dev/null", None), ("x.sub", None), ("- -debug", None),
        ("-dry-run out -file /dev/null", ["-dry-run", "out"]), ("-fi /dev/null", []),
        ("-table /dev/null x.sub", None), ("-it x from /dev/null", None),
        ("/dev/null -table t", ["-", "-table", "t"]), ("-debug:D_ALL /dev/null", ["-debug:D_ALL"]),
        ("/dev/null -q 2", ["-", "-q", "2"]),
    ],
)  # fmt: skip
def test_only_the_description_is_taken_for_one(words: str, sent: list[str] | None) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from vobox.client.client import open_pipe;"
        "print(open_pipe(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words.split()], input="x", capture_output=True, text=True
    )
    assert done.stdout == f"{words.split() if sent is None else sent}\n"


@pytest.mark.parametrize("redirect", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_outputs_change_nothing_of_what_is_done(
    schedd: FakeRpcServer, redirect: str
) -> None:
    done = run(schedd.path, "condor_rm", "1.0", stdin=None, redirect=redirect)
    assert done.returncode == 3
    assert schedd.asked[0].argv == ["1.0"]
    assert done.stdout == (b"" if ">&-" in redirect.replace("2>&-", "") else b"out\n")


def test_a_broken_pipe_is_no_traceback(schedd: FakeRpcServer) -> None:
    schedd.handler = lambda _request: Answer("x" * 1_000_000, "", 0)
    done = run(schedd.path, "condor_q", stdin=None, redirect="| head -c 1")
    assert (done.stdout, done.stderr) == (b"x", b"")


@pytest.mark.parametrize(("command", "told"), [("condor_q", "72"), ("condor_rm", None)])
def test_a_query_says_how_wide_its_terminal_is(
    schedd: FakeRpcServer, command: str, told: str | None
) -> None:
    ours, terminal = os.openpty()
    try:
        termios.tcsetwinsize(terminal, (24, 72))
        env = {"THYME_SCHEDD_SOCKET": str(schedd.path)}
        subprocess.run([*thin(command), "1.0"], env=env, stdout=terminal, timeout=30, check=False)
        subprocess.run(
            [*thin(command), "1.0"], env=env, stdout=subprocess.PIPE, timeout=30, check=False
        )
    finally:
        os.close(ours)
        os.close(terminal)
    assert [each.env.get("_THYME_TERMINAL_WIDTH") for each in schedd.asked] == [told, None]


#: condor_q, where a whole machine's schedd would listen at PLACE; as nobody, if we are root.
ON_A_MACHINE = """
import os, sys
sys.path.insert(0, sys.argv[1])
from vobox.client import client
client.DEFAULT_SOCKET = sys.argv[2]
sys.argv[:] = ["condor_q"]
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
sys.exit(client.main())
"""


def on_a_machine(place: Path, **env: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*BARE, "-c", ON_A_MACHINE, str(ROOT), str(place)], env=env, stdin=subprocess.DEVNULL,
        capture_output=True, timeout=30,
    )  # fmt: skip


@pytest.fixture
def machine() -> Iterator[Path]:
    """Make a directory that every user may enter."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    yield made
    (made / "run").chmod(0o700)
    shutil.rmtree(made)


@pytest.mark.parametrize("mode", [0o755, 0], ids=["not there", "closed"])
def test_the_users_own_socket_is_found_in_his_home_if_the_sites_is_not_for_him(
    machine: Path, mode: int
) -> None:
    (machine / "run").mkdir()
    (machine / "run").chmod(mode)
    (machine / ".thyme").mkdir()
    made = FakeRpcServer(machine / ".thyme/schedd.sock")
    try:
        done = on_a_machine(machine / "run/schedd.sock", HOME=str(machine))
    finally:
        made.close()

    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 3)


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        (0o755, "no thyme-schedd answers at {} (No such file or directory); start it, or name its "
         "socket in THYME_SCHEDD_SOCKET"),
        (0, "the socket {} belongs to another user (in a directory that is closed to you); ask for "
         "access, or name your own schedd's in THYME_SCHEDD_SOCKET"),
    ],
    ids=["not there", "closed"],
)  # fmt: skip
def test_an_empty_environment_and_no_home_are_fine(machine: Path, mode: int, why: str) -> None:
    (machine / "run").mkdir()
    (machine / "run").chmod(mode)
    place = machine / "run/schedd.sock"

    done = on_a_machine(place)

    assert (done.stdout, done.returncode) == (b"", 1)
    assert done.stderr.decode().splitlines()[-1] == why.format(place)
    assert b"Traceback" not in done.stderr


def test_commands_ask_where_the_schedd_of_a_vo_box_listens() -> None:
    assert {each.name: each.default for each in VARIABLES}["THYME_SCHEDD_SOCKET"] == DEFAULT_SOCKET


def test_a_directory_that_is_gone_stops_condor_submit_alone(
    schedd: FakeRpcServer, tmp_path: Path
) -> None:
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
        "import vobox.client.client; print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([*BARE, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        "_socket",
        "vobox",
        "vobox.client",
        "vobox.client.client",
    ]


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
def test_without_a_schedd_each_command_prints_htcondors_text_and_one_line_of_ours(
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


@pytest.mark.parametrize(
    ("argv", "code", "stdout", "stderr"),
    [
        ("-a", 0, version.ARCH, ""),
        ("-opsysver -arch -o", 0, f"{version.OPSYS}\n{version.ARCH}", ""),
        ("-help x", 0, "", "Usage: condor_version [options]"),
        ("-arch x", 1, "", "ERROR: invalid argument: 'x'"),
        ("-verbose", 1, "", "ERROR: unrecognized argument: '-verbose'"),
        ("-", 1, "", "ERROR: unrecognized argument: '-'"),
    ],
)
def test_condor_version_reads_the_first_letter_of_options(
    tmp_path: Path, argv: str, code: int, stdout: str, stderr: str
) -> None:
    done = run(tmp_path / "s.sock", "condor_version", *argv.split())
    assert (done.returncode, done.stdout.decode().rstrip("\n")) == (code, stdout)
    assert done.stderr.decode().partition("\n")[0] == stderr


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


@pytest.mark.parametrize("command", ["condor_q", "condor_rm", "condor_history"])
@pytest.mark.parametrize("frame", [b"r", b"i"])
def test_only_condor_submit_runs_what_the_schedd_names_or_sends_its_stdin(
    tmp_path: Path, command: str, frame: bytes
) -> None:
    marker, received = tmp_path / "marker", []
    data = b"".join(word + b"\0" for word in (b"100", b"touch", bytes(marker)))
    data = data if frame == b"r" else b""

    def serve(listener: socket.socket) -> None:
        line, _address = listener.accept()
        with line:
            line.recv(65536)
            line.sendall(frame + b"%08d" % len(data) + data)
            received.append(line.recv(100))

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s.sock"))
        listener.listen()
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        done = run(tmp_path / "s.sock", command, "1.0", stdin=b"secret")
        thread.join(10)
    assert done.returncode == 1
    assert b"what answers there asks for more than a thyme-schedd does" in done.stderr
    assert received == [b""] and not marker.exists()
