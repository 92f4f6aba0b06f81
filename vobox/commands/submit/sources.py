"""Where a description's text comes from: files, commands, stdin, names that match a pattern.

Files are read with the owner's rights. Commands are not run here at all: the
condor_submit that asked runs them, as its user and in its directory.
"""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Callable, Sequence

from vobox.rpc.types import Caller, OwnerFiles

from .budget import spend_nothing
from .errors import job_error
from .input_files import FileCache
from .logical_lines import MAX_DESCRIPTION
from .quoting import QuotingError, is_v2, split_v2, unwrap_v2


class TextSources:
    """What one condor_submit may read; every method raises SubmitError."""

    def __init__(
        self,
        files: OwnerFiles,
        store: FileCache,
        cwd: str,
        caller: Caller,
        spend: Callable[[int], None] = spend_nothing,
    ) -> None:
        """``spend``: ``Budget.spend``."""
        self._spend = spend
        self._files = files
        self._store = store
        self._cwd = cwd
        self._caller = caller

    def exists(self, name: str) -> bool:
        """Return whether there is such a file."""
        try:
            self._files.mode(posixpath.join(self._cwd, name))
        except OSError:
            return False
        return True

    def read_file(self, name: str) -> str:
        """Return the text of a file that is included, or has the items of a queue statement."""
        path = posixpath.join(self._cwd, name)
        try:
            size = self._files.size(path)
            if size > MAX_DESCRIPTION:
                raise job_error(f"{name} has {size} bytes; it may have {MAX_DESCRIPTION}")
            return self._store.read(path).decode("utf-8", "surrogateescape")
        except OSError as error:
            raise job_error(f"can't open file {name}: {error.strerror}") from None

    def run_command(self, command: str) -> str:
        """Return what a command prints; it is not given to a shell."""
        try:
            argv = split_v2(unwrap_v2(command)) if is_v2(command) else command.split()
        except QuotingError as error:
            raise job_error(f"{command}: {error}") from None
        if not argv:
            raise job_error("a command is missing")
        code, output = self._caller.run(argv, MAX_DESCRIPTION)
        if code == 127:
            raise job_error("not a valid command, errno=2 : No such file or directory")
        if code:
            raise job_error(f'"{command}": command terminated with exit code {code}')
        return output.decode("utf-8", "surrogateescape")

    def stdin(self) -> str:
        """Return the caller's stdin."""
        return self._caller.stdin().decode("utf-8", "surrogateescape")

    def match_files(self, patterns: Sequence[str], kind: str) -> tuple[list[str], list[str]]:
        """Return the names that match, each once, in the patterns' order; and warnings.

        ``kind``: files, dirs or any. A directory's name ends in ``/``.
        """
        found: dict[str, int] = {}
        warnings: list[str] = []
        for pattern in patterns:
            for shown in self._matching(pattern, kind):
                if shown in found:
                    warnings.append(
                        f"WARNING: '{shown}' matching pattern '{pattern}' is a duplicate of item "
                        f"{found[shown]}, skipping\n"
                    )
                    self._spend(len(warnings[-1]))
                else:
                    found[shown] = len(found)
                    self._spend(len(shown))
        return list(found), warnings

    def _matching(self, pattern: str, kind: str) -> list[str]:
        try:
            names = self._files.glob(self._cwd, pattern)
        except OSError as error:
            raise job_error(f"{pattern}: {error.strerror}") from None
        found = []
        for name in names:
            try:
                mode = self._files.mode(posixpath.join(self._cwd, name))
            except OSError:
                continue  # a link to nowhere, or gone meanwhile
            is_directory = stat.S_ISDIR(mode)
            if kind == "any" or is_directory == (kind == "dirs"):
                found.append(name.rstrip("/") + "/" if is_directory else name)
        return sorted(found)


class NoCaller:
    """Stands for a ``vobox.rpc.types.Caller`` that cannot be asked."""

    def stdin(self) -> bytes:
        """Return nothing: there is no client to ask."""
        return b""

    def run(self, argv: Sequence[str], _limit: int) -> tuple[int, bytes]:
        """Refuse to run a program; raises a submit error."""
        raise job_error(f"{' '.join(argv)}: commands cannot be run for this condor_submit")

    def keep_waiting(self) -> None:
        """Do nothing: nobody waits."""
