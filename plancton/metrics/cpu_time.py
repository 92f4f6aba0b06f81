"""Where the CPU time of a node went, added up from pass to pass of the loop.  Pure.

Sums of it are right whatever was missed: time of which something is not known counts for nobody,
and no gap is bridged.
"""

from __future__ import annotations

from plancton.model import HostLoad

#: As the series has them.
FIELDS = (
    "total_seconds",
    "owner_seconds",
    "pilots_seconds",
    "idle_no_work_seconds",
    "idle_limited_seconds",
    "idle_closed_seconds",
    "owner_squeezed_seconds",
)


class CpuTime:
    """CPU seconds since the last ``take``."""

    def __init__(self, ncpus: int) -> None:
        self._ncpus = ncpus
        self._last: float | None = None
        self._seconds = dict.fromkeys(FIELDS, 0.0)

    def see(self, load: HostLoad, squeezed: float | None, idle: str, now: float) -> None:
        """Add the time since the last call.

        load      what was used in it
        squeezed  CPUs that unprotected pilots took while the node was full; None: not known
        idle      why nobody used the rest: ``no_work``, ``limited`` or ``closed``
        now       monotonic seconds
        """
        last, self._last = self._last, now
        owner, pilots, busy = load.owner_cpus, load.pilots_cpus, load.busy_cpus
        if last is None or owner is None or pilots is None or busy is None:
            return
        passed = now - last
        self._seconds["total_seconds"] += self._ncpus * passed
        self._seconds["owner_seconds"] += owner * passed
        self._seconds["pilots_seconds"] += pilots * passed
        self._seconds[f"idle_{idle}_seconds"] += max(0.0, self._ncpus - busy) * passed
        self._seconds["owner_squeezed_seconds"] += (squeezed or 0.0) * passed

    def take(self) -> dict[str, float] | None:
        """Return what was added up and begin again; None where nothing was known."""
        taken, self._seconds = self._seconds, dict.fromkeys(FIELDS, 0.0)
        return taken if taken["total_seconds"] else None
