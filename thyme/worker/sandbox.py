"""A job's scratch directory: what is put into it and what is fetched from it.

HTCondor's rules: inputs land at the top under their own names; what comes
back are the new or changed regular files at the top, with new links to files of
the directory, or exactly the named ones; the job's executable, its proxy and
HTCondor's own files never come back.

What the job leaves behind is hostile until proven otherwise: it may have made
pipes, links to the worker's own files, sparse giants, unreadable directories.
Nothing outside the scratch directory is ever read or removed for it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from thyme.errors import NodeUnfit
from thyme.protocol.blobs import MAX_INFLATED
from thyme.protocol.events import HoldReason
from thyme.protocol.hold_codes import HoldReasonCode
from thyme.protocol.job import (
    DEFAULT_MAX_OUTPUT,
    LARGEST_STREAM,
    FileOnDisk,
    JobId,
    SandboxFile,
    Task,
)

from .private_temporaries import find_place
from .start_errors import one_line, translate_start_error
from .streams import Streams
from .users import JobUser
from .work_directory import SCRATCH, remove_scratch

STDOUT, STDERR = "_condor_stdout", "_condor_stderr"
JOB_AD, MACHINE_AD = ".job.ad", ".machine.ad"

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
#: Names of a scratch directory that are tried before the work directory is taken for full.
_NAME_TRIES = 100

Fingerprint = tuple[int, int, int]


class Sandbox:
    """The scratch directory of one job, or of several that left it as it was."""

    def __init__(self, workdir: Path, user: JobUser | None = None) -> None:
        """Make a scratch directory of ``user`` (the worker's own) in ``workdir``; raises NodeUnfit.

        ``workdir``: the worker's own work directory.
        """
        self.user = user or JobUser()
        # absolute: the job runs in it, a relative one would mean another place there
        workdir = workdir.absolute()
        try:
            self.path = self._make_directory(workdir)
        except OSError as error:
            text = f"cannot make a scratch directory in {workdir}: {error}"
            if isinstance(error, PermissionError) and not self.user.is_self:
                text += (
                    f"; jobs run as user {self.user.uid}, who must be able to pass through "
                    "every directory above (use --workdir or --user)"
                )
            raise NodeUnfit(text) from error
        #: bytes of the job's input files
        self.received = 0
        self._inputs: dict[str, Fingerprint] = {}
        self._streams = Streams(self.path)
        self._identity_at_start = _get_identity(self.path.lstat())

    # --- before the job -------------------------------------------------------------------

    def _make_directory(self, work_directory: Path) -> Path:
        if self.user.is_self:
            return _make_new_directory(work_directory)
        # Without the capability CHOWN, it belongs to the user who makes it. No job of ours runs
        # meanwhile, but others' processes do: sticky, so that they cannot put theirs in its place.
        work_directory.chmod(0o1733)
        try:
            with self.user.acting():
                return _make_new_directory(work_directory)
        finally:
            work_directory.chmod(0o711)

    def unpack(self, task: Task) -> None:
        """Write the input files; raises NodeUnfit (a full disk, mostly) or CannotStart."""
        self.received = sum(len(file.data) for file in task.files)
        with self.user.acting():
            for file in task.files:
                try:
                    self._write(file)
                except (OSError, ValueError) as error:
                    raise translate_start_error(
                        error,
                        HoldReasonCode.TRANSFER_INPUT_ERROR,
                        f"Failed to write input file '{file.name}'",
                    ) from error
            self._inputs = self._list_fingerprints()

    def _write(self, file: SandboxFile) -> None:
        path = self.path / file.name
        # one by one: Path.mkdir recurses over its parents, and there may be a thousand
        missing, above = [], path.parent
        while not above.is_dir():
            missing.append(above)
            above = above.parent
        for each in reversed(missing):
            each.mkdir()
        if file.is_directory:
            path.mkdir(exist_ok=True)
            return
        # created with its final mode: a proxy is at no time readable by others
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, file.mode)
        with os.fdopen(handle, "wb") as target:
            os.fchmod(handle, file.mode)
            target.write(file.data)
            target.flush()
            # file times come in ticks of up to 10 ms: a change in this very tick must show
            earlier = time.time_ns() - 1_000_000_000
            os.utime(handle, ns=(earlier, earlier))

    def open_stream(self, name: str) -> IO[bytes]:
        """Open the file for the job's stdout or stderr; raises NodeUnfit or CannotStart."""
        with self.user.acting():
            return self._streams.open(name)

    def write_ads(self, job: bytes, machine: bytes) -> None:
        """Write the job ad and the machine ad; raises NodeUnfit or CannotStart."""
        with self.user.acting():
            for name, text in ((JOB_AD, job), (MACHINE_AD, machine)):
                file = self._streams.open(name)
                left = text
                try:
                    while left:  # on a disk that is full, only some bytes are written at first
                        left = left[file.write(left) :]
                except OSError as error:
                    raise translate_start_error(
                        error, HoldReasonCode.TRANSFER_INPUT_ERROR, f"Failed to write '{name}'"
                    ) from error

    # --- after the job --------------------------------------------------------------------

    def read_stream(self, name: str, limit: int) -> bytes:
        """Return at most about ``limit`` bytes of stdout or stderr, without the middle."""
        return self._streams.read(name, limit)

    def rename_core_file(self, pid: int, job: JobId) -> str:
        """Give the core file of a process HTCondor's name, ``core.C.P``; "" if there is none."""
        new = f"core.{job}"
        with self.user.acting():
            for name in (f"core.{pid}", "core"):
                with contextlib.suppress(OSError):
                    if stat.S_ISREG((self.path / name).lstat().st_mode):
                        (self.path / name).rename(self.path / new)
                        return new
        return ""

    def collect_outputs(self, task: Task) -> tuple[tuple[SandboxFile, ...], HoldReason | None]:
        """Return the files that go to the submit host, and why the job is held if they cannot."""
        with self.user.acting():
            return self._collect_outputs(task)

    def _collect_outputs(self, task: Task) -> tuple[tuple[SandboxFile, ...], HoldReason | None]:
        """Collect what can be sent: one output that is missing does not keep back the others."""
        failures: list[OSError | ValueError] = []
        found: list[tuple[str, Path]] = []
        try:  # a job of our own user may put a link into its place, or close the way to it
            if self.path.is_symlink():
                raise OSError(errno.ENOTDIR, "Not a directory", str(self.path))
        except OSError as error:
            return (), _explain_failures([error])
        with contextlib.suppress(OSError):
            self.path.chmod(0o700)
        if task.output_files is None:
            try:
                found = self._changed(task)
            except OSError as error:
                failures.append(error)
        else:
            for name in task.output_files:
                try:
                    found += self._named(name)
                except (OSError, ValueError) as error:
                    failures.append(error)
        files = []
        for name, path in sorted(found):
            try:
                files.append(self._file(name, path))
            except OSError as error:
                failures.append(error)
        # before anything is read
        if excess := self._find_excess(task, files):
            return (), excess
        return tuple(files), _explain_failures(failures) if failures else None

    @staticmethod
    def _find_excess(task: Task, files: Sequence[SandboxFile]) -> HoldReason | None:
        """Return why so many bytes cannot be sent, if so."""
        size = sum(file.path.stat().st_size for file in files if isinstance(file, FileOnDisk))
        limit = min(task.max_output, MAX_INFLATED - 2 * LARGEST_STREAM)
        if size <= limit:
            return None
        if task.max_output < DEFAULT_MAX_OUTPUT:  # the job's own max_transfer_output_mb
            text = f"{size} bytes of output; max_transfer_output_mb allows {limit}"
            return HoldReason(HoldReasonCode.MAX_TRANSFER_OUTPUT_SIZE_EXCEEDED, 0, text)
        return _explain_failures([OSError(errno.EFBIG, f"{size} bytes of output; at most {limit}")])

    def _changed(self, task: Task) -> list[tuple[str, Path]]:
        """Return new or changed regular files at the top, and new links into the directory."""
        now = self._list_fingerprints(with_links=True)
        # what such a variable points to is the job's proxy: it does not travel back
        proxies = {task.environment.get(name) for name in task.scratch_env}
        return [
            (name, self.path / name)
            for name in now
            if now[name] != self._inputs.get(name)
            and name not in proxies
            and name != task.executable
            and not self._is_ours(name)
        ]

    def _named(self, name: str) -> Iterator[tuple[str, Path]]:
        """Yield one output file, or a directory and all below it, with their names.

        On the submit host the name is the last part of what was asked for; of a
        directory with a ``/`` behind it, only what is in it.
        """
        path = self.path / name
        if path.name in ("", "..") or path == self.path:
            raise OSError(errno.EINVAL, "not the name of a file", name)
        # not Path.resolve: a loop of links must be an OSError at the stat below
        try:
            real, top = (Path(os.path.realpath(each)) for each in (path, self.path))
        except RecursionError:  # a thousand links that lead to each other
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name) from None
        if top not in real.parents:
            raise OSError(errno.EACCES, "it is outside the scratch directory", name)
        mode = real.stat().st_mode
        if stat.S_ISREG(mode):
            yield path.name, real
        elif stat.S_ISDIR(mode):
            prefix = "" if name.endswith("/") else f"{path.name}/"
            if prefix:
                yield path.name, real
            for child, content in _walk(real, top):
                yield f"{prefix}{child.relative_to(real)}", content
        else:
            raise OSError(errno.EINVAL, "neither a file nor a directory", name)

    @staticmethod
    def _file(name: str, path: Path) -> SandboxFile:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return SandboxFile(name, b"", stat.S_IMODE(mode) & 0o777, is_directory=True)
        os.close(os.open(path, os.O_RDONLY))  # it can be read: say now if not
        return FileOnDisk(name, path, stat.S_IMODE(mode) & 0o777)

    def _list_fingerprints(self, with_links: bool = False) -> dict[str, Fingerprint]:
        found = {}
        with os.scandir(self.path) as entries:
            for entry in entries:
                is_link = with_links and _is_link_to_file(entry, self.path)
                if is_link or entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    found[entry.name] = (status.st_ino, status.st_size, status.st_mtime_ns)
        return found

    @staticmethod
    def _is_ours(name: str) -> bool:
        return name in (JOB_AD, MACHINE_AD) or name.startswith("_condor_")

    # --- the next job, or the end -------------------------------------------------------

    def clear_streams(self) -> bool:
        """Empty the streams; False where the job left anything else in the directory.

        Its own temporary directories are removed, also those of a job that could not start: else
        the next one would have none.

        A directory and two files are more work to make and to remove than a short job is to run:
        ext4 looks at every inode that was given back within the last five seconds.
        """
        self._remove_temporaries()
        try:
            with self.user.acting():
                if self._list_names() != self._streams.get_names():
                    return False
                self._streams.truncate()
                return True
        except OSError:
            return False

    def is_unchanged(self) -> bool:
        """Return whether another job of this user may have it: its access has not changed.

        Not if the last one changed a mode, left an access list or a second name.
        """
        try:
            with self.user.acting():
                status = self.path.lstat()
                return (
                    _get_identity(status) == self._identity_at_start
                    and not os.listxattr(self.path)
                    and self._list_names() == self._streams.get_names()
                    and self._streams.are_unchanged()
                )
        except OSError:
            return False

    def _list_names(self) -> set[str]:
        with os.scandir(self.path) as entries:
            return {entry.name for entry in entries}

    def remove(self) -> None:
        """Remove the scratch directory, whatever the job did to it."""
        self._streams.close()
        self._remove_temporaries()
        remove_scratch(self.path, self.user)

    def _remove_temporaries(self) -> None:
        if (place := find_place(self.path)).exists():
            remove_scratch(place, JobUser())


def _get_identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_mode, status.st_uid, status.st_gid


def _make_suffix() -> str:
    """Return two random letters or digits."""
    number = int.from_bytes(os.urandom(8), "big")
    return "".join(_LETTERS[number // len(_LETTERS) ** place % len(_LETTERS)] for place in range(2))


def _make_new_directory(work_directory: Path) -> Path:
    # random: nobody can make it first; short: jobs make sockets in it, and the path of a socket
    # has at most 107 bytes
    for _ in range(_NAME_TRIES):
        path = work_directory / f"{SCRATCH}{_make_suffix()}"
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
            break
    else:
        raise OSError(errno.EEXIST, "it is full of directories of others", str(work_directory))
    made = path.lstat()
    if made.st_uid != os.geteuid() or stat.S_IMODE(made.st_mode) & 0o077:
        raise OSError(errno.EPERM, "another user has put something in its place", str(path))
    return path


def _walk(directory: Path, top: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the files and the directories below a directory; raises OSError.

    Each with the path of its content, which differs for a link to a file below ``top``. Other
    links are left out.
    """
    todo = [directory]
    while todo:
        with os.scandir(todo.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    todo.append(Path(entry.path))
                    yield todo[-1], todo[-1]
                elif entry.is_file(follow_symlinks=False) or _is_link_to_file(entry, top):
                    yield Path(entry.path), Path(os.path.realpath(entry.path))


def _is_link_to_file(entry: os.DirEntry[str], top: Path) -> bool:
    """Return whether it is a symbolic link to a regular file below ``top``."""
    # what the kernel cannot follow first: a thousand links that lead to each other, for example
    if not entry.is_symlink() or not os.path.isfile(entry.path):  # noqa: PTH113
        return False
    return os.path.realpath(entry.path).startswith(f"{os.path.realpath(top)}/")


def _explain_failures(failures: Sequence[OSError | ValueError]) -> HoldReason:
    """Return HTCondor's details of a failed transfer; the report says from where to where."""
    error = failures[0]
    number = getattr(error, "errno", None) or 0
    where = f"reading from file {name}: " if (name := getattr(error, "filename", None)) else ""
    reason = getattr(error, "strerror", None) or str(error)
    text = f"{len(failures)} total failures: first failure: {where}"
    text = one_line(text, f"(errno {number}) {reason}")
    return HoldReason(HoldReasonCode.TRANSFER_OUTPUT_ERROR, number, text)
