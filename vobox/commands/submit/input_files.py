"""Read the files that travel with a job, with the owner's rights."""

from __future__ import annotations

import errno
import posixpath
import re
import stat

from thyme.protocol.blobs import MAX_SIZE
from thyme.protocol.job import SandboxFile
from vobox.rpc.types import OwnerFiles

from .errors import submit_error

#: Bytes of all different files of one submit, which are in memory together.
MAX_INPUT = 128 * 1024 * 1024
URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


class FileCache:
    """Reads each file, and looks at each, once for all jobs of a submit."""

    def __init__(self, files: OwnerFiles) -> None:
        self._files = files
        self._bytes = 0
        self._read: dict[str, bytes] = {}
        self._modes: dict[str, int] = {}

    def read(self, path: str) -> bytes:
        """Return a file's content; raises OSError, and SubmitError if it is too large."""
        if path not in self._read:
            if not stat.S_ISREG(self.mode(path)):  # a pipe would block, /dev/zero never end
                raise OSError(errno.EINVAL, "Not a regular file", path)
            size = self._files.size(path)
            if size > MAX_SIZE:
                raise submit_error(
                    f"{path} has {size} bytes, a job can carry {MAX_SIZE}; "
                    "fetch large files from within the job"
                )
            data = self._files.read(path)
            self._bytes += len(data)
            if self._bytes > MAX_INPUT:
                raise submit_error(
                    f"the files of this submit have more than {MAX_INPUT} bytes with {path}; fetch "
                    "large files from within the job, or submit the jobs in several steps"
                )
            self._read[path] = data
        return self._read[path]

    def mode(self, path: str) -> int:
        """Return st_mode; raises OSError."""
        if path not in self._modes:
            self._modes[path] = self._files.mode(path)
        return self._modes[path]

    def size(self, path: str) -> int:
        """Return st_size; raises OSError."""
        return self._files.size(path)

    def walk(self, path: str) -> list[str]:
        """Return relative paths of the files and empty directories below; raises OSError."""
        return list(self._files.walk(path))


class JobFiles:
    """The files of one job, by their name in its scratch directory; a later one replaces."""

    def __init__(self, store: FileCache) -> None:
        self.store = store
        self._files: dict[str, SandboxFile] = {}
        self.size = 0  #: bytes, all together

    @property
    def files(self) -> tuple[SandboxFile, ...]:
        """The files in the order added."""
        return tuple(self._files.values())

    def add(self, name: str, data: bytes, mode: int) -> None:
        """Add a file.

        :param name: relative to the scratch directory
        :param mode: permission bits
        :raises SubmitError: if all together are more than a message carries
        """
        replaced = self._files.get(name)
        self._files[name] = SandboxFile(name, data, mode)
        self.size += len(data) - (len(replaced.data) if replaced else 0)
        if self.size > MAX_SIZE:
            raise submit_error(
                f"the job's files have {self.size} bytes with {name}, a job can carry {MAX_SIZE}; "
                "fetch large files from within the job"
            )

    def add_entry(self, item: str, iwd: str, keep_path: bool) -> None:
        """Add one entry of transfer_input_files: a file, ``dir`` or ``dir/`` (its contents).

        ``keep_path``: a relative entry keeps its directories. Raises OSError
        (with ``filename``) for what cannot be read, SubmitError for a URL.
        """
        if found := URL.match(item):
            if found[1].lower() != "file":
                raise submit_error(
                    f"transfer_input_files: {item}: pilots fetch nothing by URL; "
                    "fetch it from within the job"
                )
            item = item[found.end() :]
        path = posixpath.join(iwd, item)
        name = posixpath.basename(item.rstrip("/"))
        if keep_path and not posixpath.isabs(item):
            name = posixpath.normpath(item)
        if name in ("", ".", "..") or name.startswith("../"):
            name = "" if item.endswith(("/", ".")) else posixpath.basename(path)
        mode = self.store.mode(path)
        if not stat.S_ISDIR(mode):
            self.add(name, self.store.read(path), mode & 0o777)
            return
        base = "" if item.endswith("/") and not keep_path else name
        for below in self.store.walk(path):
            inner = posixpath.join(path, below)
            if below.endswith("/"):
                inner_name = posixpath.normpath(posixpath.join(base, below))
                if inner_name != ".":
                    self._files[inner_name] = SandboxFile(inner_name, b"", 0o755, is_directory=True)
                continue
            data, inner_mode = self.store.read(inner), self.store.mode(inner) & 0o777
            self.add(posixpath.join(base, below), data, inner_mode)
