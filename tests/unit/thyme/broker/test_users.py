"""Whose messages about a job are believed."""

import pytest

from thyme.broker.users import may_report


@pytest.mark.parametrize(
    ("user", "pool", "believed"),
    [
        ("worker", "alien_jobs", True),
        ("worker", "gpu", False),
        ("worker-gpu", "gpu", True),
        ("worker-gpu", "alien_jobs", False),
        ("vobox", "gpu", True),
        # a worker that hides its name
        ("", "gpu", False),
        # the broker's users are not those of thyme-admin
        (None, "gpu", True),
    ],
)
def test_workers_are_believed_about_jobs_of_their_pool(
    user: str | None, pool: str, believed: bool
) -> None:
    assert may_report(user, pool) is believed
