"""Every condor command in the environments that CEs give it: an answer, never a traceback.

Old CEs run the commands with their own Python: where this machine has old
ones, they are tried, too.
"""

import array
import fcntl
import os
import resource
import shutil
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

import pytest

from tests.support.command_socket import COMMANDS, exchange_messages, request
from tests.support.schedd_process import LiveSchedd, thin
from tests.support.waiting import wait_until

NAMES = ("3.6", "3.7", "3.8", "3.9", "3.10", "3.12", "3.13")
Ended = subprocess.CompletedProcess


#: What is typed besides the name, so that there is something to do.
ARGV = {
    "condor_config_val": ["UID_DOMAIN"],
    "condor_hold": ["99.0"],
    "condor_prio": ["-p", "1", "99.0"],
    "condor_qedit": ["99.0", "A", "1"],
    "condor_tail": ["99.0"],
    "condor_wait": ["/dev/null"],
}
#: Those that print something when all is well.
TALKERS = ["condor_q", "condor_version", "condor_status", "condor_history", "condor_reschedule"]


def _old_pythons() -> list[str]:
    """Other interpreters of this machine, by name or where pyenv keeps them."""
    found = []
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for name in NAMES:
        for each in [
            *sorted(kept.glob(f"{name}.*/bin/python{name}")),
            shutil.which(f"python{name}"),
        ]:
            works = (
                each and subprocess.run([each, "-c", "pass"], capture_output=True).returncode == 0
            )
            if works:
                found.append(str(each))
                break
    return found


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSchedd]:
    made = LiveSchedd(tmp_path_factory.mktemp("live"))
    made.start()
    yield made
    made.close()


def line(command: str, *argv: str | bytes, python: str = sys.executable) -> list[str | bytes]:
    words = argv or ARGV.get(command, [])
    return [*thin(command, python), *words]


def run(
    live: LiveSchedd,
    command: str,
    *argv: str | bytes,
    env: Mapping[str, str] | None = None,
    **how: object,
) -> Ended[bytes]:
    """One run; fails for a traceback, a death by signal, or an odd exit code."""
    python = str(how.pop("python", sys.executable))
    how.setdefault("stdin", subprocess.DEVNULL)
    how.setdefault("stdout", subprocess.PIPE)
    how.setdefault("stderr", subprocess.PIPE)
    done: Ended[bytes] = subprocess.run(
        line(command, *argv, python=python), timeout=60,
        env={"THYME_SCHEDD_SOCKET": str(live.socket), **(env or {})}, **how,
    )  # type: ignore[call-overload]  # fmt: skip
    said = (done.stdout or b"") + (done.stderr or b"")
    for word in (b"Traceback", b"Error in", b"Exception", b"failed in the schedd"):
        assert word not in said, (command, argv, said)
    # HTCondor's condor_watch_q is a Python program: argparse ends with 2
    wrong = (0, 1, 2) if command == "condor_watch_q" else (0, 1)
    assert done.returncode in wrong, (command, argv, done)
    return done


def alive(live: LiveSchedd) -> None:
    """Check that the schedd goes on and answers the next one."""
    assert live.process is not None and live.process.poll() is None, live.said()
    assert run(live, "condor_q").returncode == 0
    assert "Traceback" not in live.said()


# --- environments -------------------------------------------------------------------------------

ENVIRONMENTS = {
    "nothing": {},
    "no path, no home": {"PATH": "", "HOME": ""},
    "a home that is not there": {"HOME": "/nonexistent"},
    "locale C": {"LC_ALL": "C"},
    "locale POSIX": {"LANG": "POSIX"},
    "a locale that is not there": {"LC_ALL": "xx_XX.koi8", "LANGUAGE": "tlh"},
    "turkish": {"LC_ALL": "tr_TR.UTF-8"},
    "somebody's python": {"PYTHONPATH": "/nonexistent", "PYTHONHOME": "/nonexistent"},
    "bytes": {"A": "caf\udce9", "_CONDOR_X": "\udcff\n"},
    "condor's": {"CONDOR_CONFIG": "/nope", "_condor_CONDOR_Q_ONLY_MY_JOBS": "false"},
    "a time zone that is none": {"TZ": "No/Where"},
}


@pytest.fixture(scope="module")
def usual(live: LiveSchedd) -> dict[str, Ended[bytes]]:
    """Return what the commands print in an ordinary environment."""
    return {command: run(live, command) for command in TALKERS}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_in_any_environment(live: LiveSchedd, usual: dict[str, Ended[bytes]], name: str) -> None:
    for command in COMMANDS:
        done = run(live, command, env=ENVIRONMENTS[name])
        if command in usual and command != "condor_q":  # its title holds the time
            assert done.stdout == usual[command].stdout, command
            assert done.returncode == usual[command].returncode


#: The oldest and the newest say it all, and quickly.
PYTHONS = _old_pythons() or [sys.executable]


@pytest.mark.parametrize("python", sorted({PYTHONS[0], PYTHONS[-1]}))
def test_on_any_python(live: LiveSchedd, python: str) -> None:
    for command in COMMANDS:
        ours, theirs = run(live, command), run(live, command, python=python)
        assert theirs.returncode == ours.returncode
        if command != "condor_q":
            assert (theirs.stdout, theirs.stderr) == (ours.stdout, ours.stderr), command
    text = "executable=/bin/true\narguments = caf\u00e9\nqueue 2".encode()
    done = run(live, "condor_submit", "-terse", python=python, stdin=None, input=text)
    assert done.returncode == 0 and done.stdout.count(b" - ") == 1
    alive(live)


# --- files and signals --------------------------------------------------------------------------


def _close(*numbers: int) -> Callable[[], None]:
    return lambda: [os.close(number) for number in numbers] and None


@pytest.mark.parametrize("numbers", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 1, 2)])
def test_with_closed_streams(live: LiveSchedd, numbers: tuple[int, ...]) -> None:
    for command in COMMANDS:
        done = run(live, command, preexec_fn=_close(*numbers))
        if 1 in numbers:
            assert done.stdout == b"", "the socket's number must not become that of stdout"


@pytest.mark.parametrize("sink", ["/dev/full", "broken pipe"])
@pytest.mark.parametrize("ignored", [True, False])
def test_with_a_stdout_that_takes_nothing(live: LiveSchedd, sink: str, ignored: bool) -> None:
    def heed() -> None:
        signal.signal(signal.SIGPIPE, signal.SIG_IGN if ignored else signal.SIG_DFL)

    for command in TALKERS:
        if sink == "broken pipe":
            end, start = os.pipe()
            os.close(end)
        else:
            start = os.open(sink, os.O_WRONLY)
        try:
            run(live, command, stdout=start, preexec_fn=heed)
        finally:
            os.close(start)


def test_in_a_directory_that_is_gone_or_odd(live: LiveSchedd, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    odd = os.path.join(os.fsencode(tmp_path), b"caf\xe9 \n")  # noqa: PTH118
    os.mkdir(odd)  # noqa: PTH102
    closed = tmp_path / "closed"
    closed.mkdir(0o500)
    for command in COMMANDS:
        gone.mkdir()
        run(live, command, cwd=gone, preexec_fn=gone.rmdir)
        run(live, command, cwd=odd)
        run(live, command, cwd=closed)


def test_an_interrupt_ends_it_without_a_word(live: LiveSchedd) -> None:
    submit = subprocess.Popen(
        line("condor_submit"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={"THYME_SCHEDD_SOCKET": str(live.socket)},
    )  # fmt: skip
    assert submit.stdin is not None
    submit.stdin.write(b"queue\n")
    submit.stdin.flush()
    wait_until(lambda: _unread(submit.stdin) == 0, "it reads its standard input")
    submit.send_signal(signal.SIGINT)
    out, err = submit.communicate(timeout=60)
    assert (submit.returncode, out, err) == (130, b"", b"")
    alive(live)


def _unread(pipe: IO[bytes] | None) -> int:
    """Bytes that nobody has taken out of a pipe yet."""
    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)  # type: ignore[arg-type]
    return count[0]


# --- what is typed ------------------------------------------------------------------------------

WORDS: list[list[str | bytes]] = [
    [""],
    ["", "", ""],
    ["-"],
    ["--"],
    ["-zzz"],
    ["--version"],
    ["-version"],
    ["-help"],
    ["-af"],
    ["-constraint"],
    ["-constraint", "("],
    ["-constraint", "a." * 50_000 + "a"],
    ["-name"],
    ["-name", "nobody"],
    ["-pool", "nobody", "1"],
    ["-reason", "a\nb", "1.0"],
    [b"\xff\xfe"],
    ["caf\u00e9", "\u2028"],
    ["9" * 5000],
    ["9" * 5000 + ".0"],
    ["1." + "9" * 5000],
    ["-9" * 2000],
    ["1.0"] * 20_000,
    ["x" * 100_000],
    ["%s%n%d", "%(x)s", "{0}"],
]


@pytest.mark.parametrize("words", WORDS, ids=lambda words: repr(words[0])[:20] + f"x{len(words)}")
def test_whatever_is_typed(live: LiveSchedd, words: list[str | bytes]) -> None:
    for command in COMMANDS:
        answer = exchange_messages(live.socket, request(command, words, str(live.home)))
        assert answer[-10:-1] == b"x00000001" and answer[-1:] in b"01", (command, answer)
        assert b"failed in the schedd" not in answer, (command, answer)
    alive(live)


@pytest.mark.parametrize("words", [[b"\xff\xfe"], ["1.0"] * 20_000, ["x" * 100_000], [""]])
def test_whatever_is_typed_gets_there(live: LiveSchedd, words: list[str | bytes]) -> None:
    for command in COMMANDS:
        run(live, command, *words)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\0" * 1000,
        b"\xff\xfe\xfd",
        b"queue\n" * 2000,
        b"executable=/bin/true\nqueue " + b"9" * 5000,
        b"x=" + b"$(x)" * 10_000 + b"\nqueue",
        b"if " * 5000,
        b"executable=/bin/true\n+A = " + b"(" * 100_000 + b"\nqueue",
    ],
    ids=lambda text: repr(text[:12]),
)
def test_whatever_stands_in_a_description(live: LiveSchedd, text: bytes) -> None:
    run(live, "condor_submit", "-terse", stdin=None, input=text)
    alive(live)


def test_with_few_file_descriptors(live: LiveSchedd) -> None:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))

    for command in COMMANDS:
        run(live, command, preexec_fn=few)
