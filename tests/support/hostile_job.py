"""A job that tries to access what is not its own, and reports what it could.

``hostile_job.py SECRET [KIND=PATH...]``: looks for the text SECRET wherever it may look, and
tries to read each PATH. Prints one JSON object; a refusal is the name of its errno. Needs
nothing but Python, as other users may not see this project.
"""

import ctypes
import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

PTRACE_ATTACH, PTRACE_SEIZE = 16, 0x4206
PIDFD_OPEN, PIDFD_GETFD = 434, 438

libc = ctypes.CDLL(None, use_errno=True)
worker = os.getppid()
found: dict[str, object] = {}


def attempt(name: str, action: Callable[[], object]) -> None:
    try:
        found[name] = action()
    except OSError as error:
        found[name] = errno.errorcode.get(error.errno or 0, str(error))


def checked(result: int) -> str:
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return "done"


def take_a_file(pid: int) -> str:
    """Copy the worker's open files: its connection to the broker is one."""
    handle = libc.syscall(PIDFD_OPEN, pid, 0)
    checked(handle)
    for number in range(64):
        if libc.syscall(PIDFD_GETFD, handle, number, 0) >= 0:
            return f"got file {number}"
    raise OSError(ctypes.get_errno(), "")


def read_memory(pid: int) -> str:
    """By system call, as /proc/PID/mem has another door."""
    buffer = ctypes.create_string_buffer(8)
    local = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 8)
    # our own addresses are as good as any: what is asked for is the permission
    return checked(libc.process_vm_readv(pid, local, 1, local, 1, 0))


def everywhere(secret: bytes) -> list[str]:
    """Files of /proc, of any process, that hold the secret; our own arguments do."""
    places = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            for name in ("environ", "cmdline", "maps"):
                try:
                    if secret in (entry / name).read_bytes():
                        places.append(f"{entry.name}/{name}")
                except OSError:
                    continue
    return places


def names(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir())


def own_files() -> list[str]:
    found = []
    for number in range(64):
        try:
            found.append(str(Path(f"/proc/self/fd/{number}").readlink()))
        except OSError:
            continue
    return found


def status(*names: str) -> dict[str, str]:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {name: lines[name].strip() for name in names}


def main() -> None:
    secret, *paths = sys.argv[1:]
    found["open"] = own_files()
    there = Path(f"/proc/{worker}")
    for name in ("environ", "mem", "maps", "auxv", "stack", "syscall"):
        attempt(f"worker's {name}", lambda name=name: len((there / name).open("rb").read(1)))
    attempt("worker's files", lambda: names(there / "fd"))
    attempt("worker's directory", lambda: str((there / "cwd").readlink()))
    attempt("attach", lambda: checked(libc.ptrace(PTRACE_ATTACH, worker, 0, 0)))
    attempt("seize", lambda: checked(libc.ptrace(PTRACE_SEIZE, worker, 0, 0)))
    attempt("memory", lambda: read_memory(worker))
    attempt("copy of a file", lambda: take_a_file(worker))
    attempt("signal", lambda: os.kill(worker, signal.SIGCONT))
    attempt("all signals", lambda: os.kill(1, signal.SIGCONT))
    attempt("be root", lambda: os.setuid(0))
    attempt("be group root", lambda: os.setgroups([0]))
    for each in paths:
        kind, _equals, path = each.partition("=")
        if kind.startswith("list"):
            attempt(kind, lambda path=path: names(Path(path)))
        elif kind.startswith("run"):
            program, argument = path.split(",")
            attempt(
                kind,
                lambda program=program, argument=argument: (
                    subprocess.run(
                        [program, argument], capture_output=True, text=True, check=False
                    ).stdout
                ),
            )
        else:
            attempt(kind, lambda path=path: Path(path).read_text())
    attempt("own work directory", lambda: names(Path("..")))
    found["secret"] = everywhere(secret.encode())
    found["own environment"] = secret in repr(os.environ)
    found["rights"] = status("CapInh", "CapPrm", "CapEff", "CapAmb", "NoNewPrivs", "Groups")
    found["bounding"] = status("CapBnd")["CapBnd"]
    found["ids"] = [*os.getresuid(), *os.getresgid()]
    found["session"] = os.getsid(0) == os.getpid() == os.getpgid(0)
    print(json.dumps(found))


main()
