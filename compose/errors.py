"""What these programs cannot do: one line for whoever called, and exit code 1."""

from __future__ import annotations


class CannotDo(Exception):
    """What is wrong, where, and what to do."""


#: What Docker and compose say, and what to do about it.
HINTS = (
    ("Pool overlaps", "those addresses are taken: set another PILOT_SUBNET in .env"),
    ("port is already allocated", "a port is taken: set another one in .env"),
    ("address already in use", "a port is taken: set another one in .env"),
    ("permission denied", "you may not use Docker: be root, or a member of the group docker"),
    ("no space left", "the disk is full: docker system df"),
    ("pull access denied", "no such image there: IMAGES=build in .env makes it here"),
    ("manifest unknown", "that version of the image is not there: look at .env"),
    (
        "--force writes it anew",
        "BROKER_HOST, POOL or TLS has changed in .env: make secrets SECRETS_ARGS=--force",
    ),
    ("is unhealthy", "docker compose logs, of that service"),
)


def hint(said: str) -> str:
    """What to do about what Docker said; "" where nobody knows."""
    return next((text for sign, text in HINTS if sign in said), "")
