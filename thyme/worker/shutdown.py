"""Whether signals have asked the worker to end, or to end at once."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Shutdown:
    """The signals received: added by signal handlers, read by the worker."""

    signals: list[int] = field(default_factory=list)

    @property
    def requested(self) -> bool:
        """Whether the worker is to end, and its job with it."""
        return bool(self.signals)

    @property
    def immediate(self) -> bool:
        """Whether the job is to be killed at once."""
        return len(self.signals) > 1
