"""Whether signals have asked the worker to end, or to end at once."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Shutdown:
    """The signals received: added by signal handlers, read by the worker."""

    signals: list[int] = field(default_factory=list)

    @property
    def requested(self) -> bool:
        return bool(self.signals)

    @property
    def immediate(self) -> bool:
        return len(self.signals) > 1
