"""Whose messages about a job are believed."""

from __future__ import annotations

import pytest

from thyme.broker.users import may_report


@pytest.mark.parametrize(
    ("user", "pool", "life", "believed"),
    [
        ("worker", "alien_jobs", "a1", True),
        ("worker", "gpu", "a1", False),
        ("worker-gpu", "gpu", "a1", True),
        ("worker-gpu", "alien_jobs", "a1", False),
        ("vobox", "gpu", "a1", True),
        # a worker that hides its name is not believed about a job of this release ...
        ("", "gpu", "a1", False),
        # ... and programs of an earlier release name no user
        ("", "gpu", "", True),
        ("worker", "gpu", "", False),
        # the broker's users are not those of thyme-admin
        (None, "gpu", "a1", True),
    ],
)
def test_workers_are_believed_about_jobs_of_their_pool(
    user: str | None, pool: str, life: str, believed: bool
) -> None:
    assert may_report(user, pool, life) is believed
