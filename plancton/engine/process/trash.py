"""Delete what pilots left in a thread: a large scratch directory must not hold up the loop."""

from __future__ import annotations

import contextlib
import logging
import queue
import shutil
import subprocess
import threading
from pathlib import Path

from plancton.engine.pilot_outputs import PilotOutputs, read_end

from .pilot_files import NEW, TRASH

_log = logging.getLogger("plancton")


class Trash:
    """Deletes the directories of ended pilots, and keeps the end of their output."""

    def __init__(self, pilots: Path, outputs: PilotOutputs | None) -> None:
        self._pilots = pilots
        self._outputs = outputs
        self._todo: queue.SimpleQueue[Path | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, with what a daemon that was killed left half made or half removed."""
        try:
            for path in self._pilots.iterdir():
                if path.name.startswith((NEW, TRASH)):
                    self._todo.put(path)
        except OSError:
            pass  # nothing there yet, or nothing to be had: listing the pilots will tell
        thread = threading.Thread(target=self._run, name="trash", daemon=True)
        thread.start()
        self._thread = thread

    def discard(self, path: Path) -> None:
        """Take a pilot's directory off the list at once, and delete it.  Raises OSError."""
        trash = path.with_name(TRASH + path.name)
        path.rename(trash)
        if self._thread is None:
            self._clear(trash)
        else:
            self._todo.put(trash)

    def remove_unstarted(self, name: str) -> None:
        """Clear away what there is of a pilot that was never started."""
        for path in (self._pilots / (NEW + name), self._pilots / name):
            shutil.rmtree(path, ignore_errors=True)

    def close(self) -> None:
        """Finish what was taken, then end."""
        if self._thread is not None:
            self._todo.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while (path := self._todo.get()) is not None:
            self._clear(path)

    def _clear(self, path: Path) -> None:
        try:
            self._keep_output(path)
        except OSError as error:
            _log.warning("output of %s is lost: %s", path.name, error)
        with contextlib.suppress(RecursionError):
            shutil.rmtree(path, ignore_errors=True)
        # rare: directories that even their owner cannot enter, or nested too deep for Python
        for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
            if path.exists():
                with contextlib.suppress(OSError):
                    subprocess.run(
                        [*command, "--", str(path)],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                        check=False,
                    )
        if path.exists():
            _log.warning("%s cannot be removed whole; the next start tries again", path)

    def _keep_output(self, path: Path) -> None:
        output = path / "output"
        if self._outputs is not None and output.is_file():
            name = path.name.removeprefix(TRASH).removeprefix(NEW)
            self._outputs.keep(name, read_end(output))
