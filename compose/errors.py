"""The error of these programs, and hints for messages of Docker and compose."""

from __future__ import annotations


class SetupFailed(Exception):
    """A command failed; the text says what is wrong, where, and what to do."""


_UNREACHED = (
    'the registry cannot be reached: docs/howto-site.md, "Behind a proxy", or IMAGES=local in .env'
)
#: Part of a message of Docker or compose, and what to do about it.
HINTS = (
    ("Pool overlaps", "those addresses are taken: set another PILOT_SUBNET in .env"),
    ("port is already allocated", "a port is taken: set another one in .env"),
    ("address already in use", "a port is taken: set another one in .env"),
    ("permission denied", "you may not use Docker: be root, or a member of the group docker"),
    ("no space left", "the disk is full: docker system df"),
    ("pull access denied", "no such image there: IMAGES=build in .env makes it here"),
    ('/v2/": dial tcp', _UNREACHED),
    ('failed to do request: Head "https://', _UNREACHED),
    ("manifest unknown", "that version of the image is not there: look at .env"),
    (
        "--force writes it again",
        "BROKER_HOST, POOL or TLS has changed in .env: make secrets SECRETS_ARGS=--force",
    ),
    ("is unhealthy", "docker compose logs, of that service"),
)


def find_hint(said: str) -> str:
    """Find what to do about a message of Docker or compose; "" if unknown."""
    return next((text for sign, text in HINTS if sign in said), "")
