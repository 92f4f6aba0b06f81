"""The end of what ended pilots printed, kept in files: bounded in bytes and in number."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from hostfiles.regular_file import open_regular

from .pilot_spec import NAME_PREFIX

#: Bytes of a pilot's output that are kept, from its end.
OUTPUT_KEPT = 256 * 1024
#: Outputs of ended pilots that are kept, the newest.
OUTPUTS_KEPT = 50
_NAME = re.compile(rf"{NAME_PREFIX}[\w-]+", re.ASCII)


class PilotOutputs:
    """The directory with the outputs of ended pilots, a file each."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def keep(self, name: str, output: bytes) -> None:
        """Keep the end of a pilot's output, and forget the oldest ones; raises OSError."""
        if not output:
            return
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(self._find(name), "wb", opener=open_regular) as file:
            file.write(output[-OUTPUT_KEPT:])
        for log in self._list_files()[:-OUTPUTS_KEPT]:
            log.unlink(missing_ok=True)

    def list_names(self) -> list[str]:
        """Return the pilots whose output is kept, the one that ended first in front."""
        return [path.stem for path in self._list_files()]

    def read(self, name: str) -> bytes | None:
        """Return what is kept of a pilot's output; None where nothing is.  Raises OSError."""
        if not _NAME.fullmatch(name):
            return None  # no path may come out of a name
        try:
            with open(self._find(name), "rb", opener=open_regular) as file:
                return file.read(OUTPUT_KEPT)
        except FileNotFoundError:
            return None

    def _find(self, name: str) -> Path:
        return self._directory / f"{name}.log"

    def _list_files(self) -> list[Path]:
        ages = dict[Path, int]()
        for log in self._directory.glob("*.log"):
            with contextlib.suppress(FileNotFoundError):  # the daemon forgets some meanwhile
                ages[log] = log.stat().st_mtime_ns
        return sorted(ages, key=ages.__getitem__)


def read_end(path: Path) -> bytes:
    """Return the end of a pilot's file of output; raises OSError."""
    with open(path, "rb", opener=open_regular) as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - OUTPUT_KEPT))
        return file.read(OUTPUT_KEPT)
