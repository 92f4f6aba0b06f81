"""Flag files in the run directory that say what the admin wants (as in 2017).

    drain        start no new pilots; may hold when running ones are ended, in seconds since 1970
    stop         with drain: the daemon ends after the last pilot
    force-stop   end every pilot and the daemon, now
    retry        forget the failures of pilots once, and try again

Files, because a drained node must stay drained when the daemon or the node is
restarted.  The exception is ``force-stop``: it is about the daemon that runs.
The daemon removes ``retry`` when it has done it.
"""

from __future__ import annotations

import os
from pathlib import Path

from hostfiles.regular_file import open_regular
from plancton.errors import PlanctonError
from plancton.model import Mode

#: Largest part of a flag file that is read (bytes).
_MAX_FLAG = 100
#: Later than any deadline, in seconds since 1970, and early enough for a date.
_LAST_MOMENT = 1e11
_MAKE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


class AdminFlags:
    """The flag files; methods raise PlanctonError where one cannot be set or removed."""

    def __init__(self, rundir: Path) -> None:
        self._drain = rundir / "drain"
        self._stop = rundir / "stop"
        self._force = rundir / "force-stop"
        self._retry = rundir / "retry"

    def read_mode(self) -> Mode:
        """Return what the flags ask for."""
        if self._force.exists():
            return Mode.FORCE_STOP
        if not self._drain.exists():
            return Mode.ACTIVE
        return Mode.DRAIN_STOP if self._stop.exists() else Mode.DRAIN

    def find_drain_start(self) -> float | None:
        """Return when the drain was asked for, in seconds since 1970; None without one."""
        try:
            return self._drain.stat().st_mtime
        except OSError:
            return None

    def find_drain_deadline(self) -> float | None:
        """Return when pilots that still run are ended, in seconds since 1970; None: they are not.

        What cannot be read, or is no such time, is none.
        """
        try:
            with open(self._drain, encoding="ascii", opener=open_regular) as file:
                value = float(file.read(_MAX_FLAG))
        except (OSError, ValueError):
            return None
        return value if 0 < value < _LAST_MOMENT else None

    def drain(self, *, then_stop: bool = False, deadline: float | None = None) -> None:
        """Ask for a drain, and for the daemon's end after the last pilot only if ``then_stop``.

        Pilots are told of ``deadline``, in seconds since 1970; who asks ends them then.
        """
        if then_stop:
            # First, so that no pass in between sees a plain drain and a resumed stop later.
            _set(self._stop)
        _set(self._drain, "" if deadline is None else f"{deadline:.0f}\n")
        if not then_stop:
            _clear(self._stop)

    def force_stop(self) -> None:
        """Ask for the end of every pilot and of the daemon."""
        _set(self._force)

    def resume(self) -> None:
        """End a drain."""
        _clear(self._drain)
        _clear(self._stop)

    def request_retry(self) -> None:
        """Ask the daemon to forget earlier failures of pilots."""
        _set(self._retry)

    def wants_retry(self) -> bool:
        """Tell whether that was asked for and not done yet."""
        return self._retry.exists()

    def finish_retry(self) -> None:
        """Note that it was done."""
        _clear(self._retry)

    def finish_stop(self) -> None:
        """Remove the flags of a stop that is done, so that the next daemon does not stop too.

        ``drain`` stays, as in 2017: the node starts nothing until somebody resumes it.
        """
        _clear(self._stop)
        _clear(self._force)

    def clear_old_force_stop(self) -> None:
        """Remove a force-stop that came too late for the daemon before."""
        _clear(self._force)


def _set(flag: Path, text: str = "") -> None:
    try:
        flag.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(open_regular(flag, _MAKE, 0o600), "w", encoding="ascii") as file:
            file.write(text)
    except OSError as error:
        raise PlanctonError(f"{flag}: cannot be written: {error.strerror}") from error


def _clear(flag: Path) -> None:
    try:
        flag.unlink(missing_ok=True)
    except OSError as error:
        raise PlanctonError(f"{flag}: cannot be removed: {error.strerror}") from error
