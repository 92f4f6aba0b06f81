"""Which services a test needs: declared, so that it can be counted without running the test.

A fixture that starts a service is decorated, below ``pytest.fixture``, with ``needs("docker")``;
a test, or a parameter, that needs one without such a fixture has ``pytest.mark.needs("docker")``.
"""

from collections import Counter
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import pytest

F = TypeVar("F", bound=Callable[..., Any])


def needs(*services: str) -> Callable[[F], F]:
    """Declare the services that a fixture uses (names of SERVICES)."""

    def mark(function: F) -> F:
        function.needs = services  # type: ignore[attr-defined]
        return function

    return mark


def needs_of(item: pytest.Item) -> frozenset[str]:
    """Find the services that a test needs, by its marks and by all its fixtures'."""
    found = {name for mark in item.iter_markers("needs") for name in mark.args}
    for fixtures in item._fixtureinfo.name2fixturedefs.values():  # type: ignore[attr-defined]
        for fixture in fixtures:
            found.update(getattr(fixture.func, "needs", ()))
    return frozenset(found)


class SkipCounter:
    """A plugin for a collection: counts the tests that will be skipped, and why.

    Args:
        without: services that cannot be used here for lack of packages.
        for_root: services that only root can use, and this user cannot.
        is_root: whether root counts.
    """

    def __init__(self, without: Collection[str], for_root: Collection[str], is_root: bool) -> None:
        self._is_root = is_root
        self._without, self._for_root = set(without), set(for_root)
        self.total = self.skipped = self.need_root = 0
        #: per service of ``without``
        self.lacking: Counter[str] = Counter()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            wanted = needs_of(item)
            lacking = wanted & self._without
            root = bool(wanted & self._for_root)
            root |= not self._is_root and item.get_closest_marker("root") is not None
            self.total += 1
            self.skipped += bool(lacking or root)
            self.need_root += root
            self.lacking.update(lacking)
