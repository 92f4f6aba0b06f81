"""A clock that moves only by waiting, to the next planned event or to the end of the wait."""

import heapq
import itertools
from collections.abc import Callable


class VirtualTime:
    """A clock that moves only by waiting; calling it returns the time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._plans: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()

    def __call__(self) -> float:
        return self.now

    def at(self, when: float, action: Callable[[], object]) -> None:
        heapq.heappush(self._plans, (when, next(self._order), action))

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        self.at(self.now + seconds, action)

    def sleep(self, seconds: float) -> None:
        deadline = self.now + seconds
        while self.step(deadline):
            pass

    def step(self, deadline: float) -> bool:
        """Go to the next plan and carry it out, or to ``deadline``: False."""
        if not self._plans or self._plans[0][0] > deadline:
            self.now = max(self.now, deadline)
            return False
        when, _order, action = heapq.heappop(self._plans)
        self.now = max(self.now, when)
        action()
        return True
