"""The demo's directory: the paths in it, the lock on it, and emptying it."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import processes
from .errors import BadUse, Busy
from .guardian import guarded

#: Longest path of a Unix socket (sun_path has 108 bytes on Linux), less a margin for
#: a server that binds a temporary name first.
SOCKET_PATH = 90
_LOCK = "lock"
#: Seconds that the guardian of a killed demo may take to end what that one had started.
_CLEARING = 75.0


@dataclass(frozen=True)
class Layout:
    """Paths of the demo's directory."""

    root: Path
    socket: Path

    @property
    def broker(self) -> Path:
        """The file of the embedded broker."""
        return self.root / "broker.db"

    @property
    def url(self) -> str:
        """The URL of the embedded broker."""
        return f"sqlite:///{self.broker}"

    @property
    def spool(self) -> Path:
        """The schedd's spool directory."""
        return self.root / "spool"

    @property
    def ce(self) -> Path:
        """The directory of the demo CE."""
        return self.root / "ce"

    @property
    def ledger(self) -> Path:
        """The file to which each agent itself appends its starts and ends."""
        return self.root / "ledger"

    @property
    def scratch(self) -> Path:
        """The directory in which jobs run."""
        return self.root / "scratch"

    @property
    def report(self) -> Path:
        """The page that shows the run."""
        return self.root / "report.html"

    def plancton(self, part: str) -> Path:
        """Return a directory of Plancton: ``run``, ``log`` or ``conf``."""
        return self.root / "plancton" / part

    def log(self, program: str) -> Path:
        """Return the log file of a program."""
        return self.root / "logs" / f"{program}.log"


@contextmanager
def claim_directory(directory: Path) -> Iterator[Layout]:
    """Lock and empty a demo directory for as long as the block runs.

    Raises Busy when another demo has it, BadUse when it cannot be used or is
    somebody else's.
    """
    root = directory.absolute()
    lock = _open_lock(root)
    try:
        _take(lock, root)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        with _socket(root) as socket, guarded(root, lock):
            layout = Layout(root, socket)
            # What a killed demo left must end first: it would write into what is being emptied.
            processes.kill_all(root)
            _empty(layout)
            yield layout
    finally:
        os.close(lock)


def _take(lock: int, root: Path) -> None:
    """Lock the directory, or raise Busy; wait for a killed demo's guardian to finish."""
    deadline = time.monotonic() + _CLEARING
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            holder = os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
            if Path("/proc", holder).exists() or time.monotonic() > deadline:
                raise Busy(
                    f"another demo runs in {root} (process {holder}); "
                    "wait for it, or name another directory with --dir"
                ) from error
        time.sleep(0.05)


def _open_lock(root: Path) -> int:
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not (root / _LOCK).exists() and any(root.iterdir()):
            raise BadUse(f"{root} holds files that no demo made; name another directory with --dir")
        return os.open(root / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise BadUse(f"cannot use {root}: {error.strerror}; name another with --dir") from error


@contextmanager
def _socket(root: Path) -> Iterator[Path]:
    path = root / "schedd.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="plancton-demo-") as short:
        yield Path(short) / "schedd.sock"


def _empty(layout: Layout) -> None:
    for entry in layout.root.iterdir():
        if entry.name == _LOCK:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    for folder in (
        layout.spool,
        layout.scratch,
        layout.ce,
        layout.root / "logs",
        *(layout.plancton(part) for part in ("run", "log", "conf")),
    ):
        folder.mkdir(parents=True)
    layout.ledger.touch()
