"""One step of the set-up: a command with a title, its progress, its log and its error.

Only the standard library: it runs before anything is installed.
"""

import errno
import fcntl
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

ROOT = Path(__file__).parents[2]
#: Logs of all steps, and the lock that lets one set-up run at a time in this clone.
PLACE = ROOT / "build" / "setup"
#: What pip and npm print when they cannot reach their index.
_UNREACHABLE = re.compile(
    r"NewConnectionError|ConnectTimeout|ReadTimeout|NameResolutionError|ProxyError|"
    r"Temporary failure in name resolution|"
    r"No matching distribution found|SSLError|HTTP error|ECONNREFUSED|ENOTFOUND|EAI_AGAIN|"
    r"ETIMEDOUT|network (?:timeout|request)"
)
_DISK_FULL = f"the disk is full: make room below {ROOT} (and in TMPDIR)"
#: How pip and npm mark an error.
_ERROR = re.compile(r"^(?:ERROR:|E:|npm ERR!|npm error|Error:)\s*(.*)", re.MULTILINE)


class SetupError(Exception):
    """A step failed. The text says what is wrong and what to do; mostly in one line."""


def say(text: str) -> None:
    """Print one line, as make does."""
    print(f"make: {text}", file=sys.stderr, flush=True)


def run(
    title: str,
    command: Sequence[str],
    log: Path,
    *,
    seconds: float,
    environment: Mapping[str, str] | None = None,
    where: Path = ROOT,
) -> tuple[int, str]:
    """Run a command to its end; its output goes to ``log``, its progress to a terminal.

    Args:
        title: what the step does, as a terminal shows it.
        log: the file that the output is appended to.
        seconds: after these it is killed, and the exit code is 124.
        environment: variables beside those of this process.
        where: its working directory.

    Returns:
        The exit code, and all that it printed.

    Raises:
        SetupError: the command cannot be started.
    """
    began, lines = time.monotonic(), []
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        process = subprocess.Popen(
            command,
            cwd=where,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise SetupError(f"cannot run {command[0]}: {error.strerror}") from error
    late = Timer(seconds, process.kill)
    late.start()
    try:
        assert process.stdout is not None
        with open(log, "a", encoding="utf-8") as file, process.stdout:
            file.write(f"$ {' '.join(command)}\n")
            for line in process.stdout:
                lines.append(line)
                file.write(line)
                _show(f"{title}: {time.monotonic() - began:.0f} s, {line.strip()}")
        code = process.wait()
        timed_out = not late.is_alive()
    finally:
        late.cancel()
        if process.poll() is None:
            process.terminate()
            process.wait()
        _show("")
    return (124 if timed_out else code), "".join(lines)


def _show(text: str) -> None:
    """Replace the terminal's last line; nothing where stderr is no terminal."""
    if sys.stderr.isatty():
        try:
            width = os.get_terminal_size(sys.stderr.fileno()).columns
        except OSError:
            width = 80
        print(f"\r\x1b[K{text[: width - 1]}", end="", file=sys.stderr, flush=True)


def explain(output: str, source: str, log: Path) -> str:
    """Say in one line why fetching packages failed.

    Args:
        output: what pip or npm printed.
        source: the address of its index, and the setting that names another one.
        log: where the whole output is.
    """
    if os.strerror(errno.ENOSPC) in output:
        return _DISK_FULL
    if found := _UNREACHABLE.search(output):
        return f"packages cannot be fetched from {source}: {found[0]}; the log: {log}"
    errors = _ERROR.findall(output)
    last = next((line for line in reversed(output.splitlines()) if line.strip()), "no output")
    return f"{errors[0] if errors else last.strip()}; the log: {log}"


def describe(error: OSError) -> str:
    """Say in one line what the operating system refused."""
    if error.errno == errno.ENOSPC:
        return _DISK_FULL
    return f"{error.filename or 'the set-up'}: {error.strerror}"


@contextmanager
def alone() -> Iterator[None]:
    """Let one set-up run at a time in this clone; say so while another one is waited for."""
    PLACE.mkdir(parents=True, exist_ok=True)
    with open(PLACE / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another make sets up this clone; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
