"""What signals have asked of the worker: to leave, or to leave at once."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Shutdown:
    """Set by signal handlers, read by the loop."""

    signals: list[int] = field(default_factory=list)

    @property
    def requested(self) -> bool:
        return bool(self.signals)

    @property
    def immediate(self) -> bool:
        return len(self.signals) > 1
