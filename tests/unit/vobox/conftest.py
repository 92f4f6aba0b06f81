"""Fixtures of the tests in this directory."""

from collections.abc import Iterator

import pytest

from tests.support.fake_query_queue import utc


@pytest.fixture(autouse=True)
def _in_utc() -> Iterator[None]:
    with utc():
        yield
