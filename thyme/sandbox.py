"""A job's scratch directory: what is put into it and what is fetched from it.

HTCondor's rules: inputs land at the top under their own names; what comes
back are the new or changed regular files at the top, or exactly the named
ones; the job's executable, its proxy and HTCondor's own files never come back.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from .errors import NodeUnfit
from .job import SandboxFile, Task
from .message import HoldReason

#: HTCondor's HoldReasonCode for "output files could not be transferred".
TRANSFER_OUTPUT_ERROR = 12
STDOUT, STDERR = "_condor_stdout", "_condor_stderr"
EXECUTABLE = "condor_exec.exe"

Fingerprint = tuple[int, int, int]


class Sandbox:
    def __init__(self, workdir: Path) -> None:
        """Make a scratch directory below ``workdir``; raises NodeUnfit."""
        try:
            self.path = Path(tempfile.mkdtemp(prefix="dir_", dir=workdir))
        except OSError as error:
            raise NodeUnfit(f"cannot make a scratch directory in {workdir}: {error}") from error
        self._before: dict[str, Fingerprint] = {}

    def unpack(self, task: Task) -> None:
        """Write the input files; raises NodeUnfit (a full disk, mostly)."""
        try:
            for file in task.files:
                path = self.path / file.name
                path.parent.mkdir(parents=True, exist_ok=True)
                # created with its final mode: a proxy is at no time readable by others
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, file.mode)
                with os.fdopen(handle, "wb") as target:
                    os.fchmod(handle, file.mode)
                    target.write(file.data)
        except OSError as error:
            raise NodeUnfit(f"cannot write the job's files to {self.path}: {error}") from error
        self._before = self._fingerprints()

    def stream(self, name: str, limit: int) -> bytes:
        """At most about ``limit`` bytes of stdout or stderr; the middle of a longer one is cut."""
        try:
            with (self.path / name).open("rb") as source:
                size = os.fstat(source.fileno()).st_size
                if size <= limit:
                    return source.read(limit)
                head = source.read(limit // 2)
                source.seek(size - (limit - len(head)))
                tail = source.read(limit - len(head))
        except FileNotFoundError:
            return b""
        cut = size - len(head) - len(tail)
        note = f"\n[thyme-worker: {cut} bytes cut here; the job wrote {size}]\n".encode()
        return head + note + tail

    def outputs(self, task: Task) -> tuple[tuple[SandboxFile, ...], HoldReason | None]:
        """The files that go back to the submit host, and why the job is held if they cannot."""
        if task.output_files is None:
            now = self._fingerprints()
            names = [name for name in now if now[name] != self._before.get(name)]
            inputs = {file.name for file in task.files if file.mode & 0o077 == 0}  # proxies
            names = [name for name in names if not self._is_ours(name) and name not in inputs]
        else:
            names = list(task.output_files)
        try:
            files = self._read(sorted(names))
            size = sum(len(file.data) for file in files)
            if size > task.max_output:
                raise OSError(
                    errno.EFBIG, f"{size} bytes of output; the limit is {task.max_output}"
                )
        except OSError as error:
            where = f" {error.filename!r}" if error.filename else ""
            text = f"Failed to send output file{where}: (errno={error.errno}) {error.strerror}"
            return (), HoldReason(TRANSFER_OUTPUT_ERROR, error.errno or 0, text)
        return tuple(files), None

    def remove(self) -> None:
        """The scratch directory goes, whatever the job did to its modes."""

        def make_writable(function: Callable[[str], object], path: str, _error: object) -> None:
            Path(path).parent.chmod(0o700)
            function(path)

        try:
            shutil.rmtree(self.path, onerror=make_writable)
        except OSError:
            shutil.rmtree(self.path, ignore_errors=True)

    def _read(self, names: list[str]) -> list[SandboxFile]:
        files = []
        for name in names:
            path = self.path / name
            if path.is_dir():
                for child in sorted(path.rglob("*")):
                    if child.is_file() and not child.is_symlink():
                        files.append(self._file(str(child.relative_to(self.path)), child))
            else:
                # the name on the submit host is the last part of what was asked for
                files.append(self._file(path.name, path))
        return files

    @staticmethod
    def _file(name: str, path: Path) -> SandboxFile:
        return SandboxFile(name, path.read_bytes(), stat.S_IMODE(path.stat().st_mode) & 0o777)

    def _fingerprints(self) -> dict[str, Fingerprint]:
        found = {}
        with os.scandir(self.path) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    found[entry.name] = (status.st_ino, status.st_size, status.st_mtime_ns)
        return found

    @staticmethod
    def _is_ours(name: str) -> bool:
        return name == EXECUTABLE or name.startswith("_condor_")
