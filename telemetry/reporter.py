"""Where a program's points go: to its databases, to Prometheus, and to listeners in the program."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from .points import Point, Series, spread
from .sender import Senders, TargetState
from .targets import BadTarget, Target

if TYPE_CHECKING:
    from .prometheus import Newest, Page


class Reporter:
    """The one way out for the points of a program."""

    def __init__(
        self,
        namespace: str,
        series: Sequence[Series],
        log: logging.Logger,
        wall: Callable[[], float] = time.time,
        senders: Senders | None = None,
    ) -> None:
        """Begin without any target.

        namespace  what the name of the time of the last points at Prometheus begins with
        series     what Prometheus is shown
        log        for the trouble of sending
        wall       seconds since 1970
        senders    others than the usual ones, for tests
        """
        self._namespace, self._series, self._wall = namespace, series, wall
        self._senders = senders or Senders(log)
        #: others that want the same points
        self.listeners: list[Callable[[list[Point]], None]] = []
        #: address of the page, and the tags that its counters began with
        self._shown: tuple[str, Mapping[str, str]] | None = None
        #: the page for Prometheus, while there is one
        self._page: Page | None = None
        self._newest: Newest | None = None

    def follow(self, targets: Iterable[Target]) -> None:
        """Send to these databases from now on, and to no others."""
        self._senders.follow(targets)

    def show(self, address: str, known: Mapping[str, str]) -> str:
        """Show the points to Prometheus at an address; return why that fails, or "".

        address  ``HOST:PORT``; "" for nowhere
        known    values of tags that are known beforehand
        """
        if (address, known) == self._shown:
            return ""
        self._hide()
        if not address:
            return ""
        try:
            # late: most nodes have no use for it
            from .prometheus import Newest, Page
        except ImportError:
            return (
                "the Python library 'prometheus_client' is not installed; "
                "install plancton-grid with the extra `prometheus`, which brings it"
            )
        newest = Newest(self._namespace, self._series, known, self._wall)
        try:
            self._page = Page(newest, address)
        except BadTarget as error:
            return str(error)
        self._shown, self._newest = (address, dict(known)), newest
        return ""

    def states(self) -> list[TargetState]:
        """Return how sending goes, by target."""
        return self._senders.states()

    def report(self, made: Iterable[Point]) -> list[Point]:
        """Send the points of a moment; return them as they are sent."""
        points = spread(made)
        self._senders.send(points)
        if self._newest is not None:
            self._newest.update(points)
        for listener in self.listeners:
            listener(points)
        return points

    def close(self) -> None:
        """Try once more to send what is waiting, and end."""
        self._senders.close()
        self._hide()

    def _hide(self) -> None:
        if self._page is not None:
            self._page.close()
        self._shown, self._page, self._newest = None, None, None
