"""RabbitMQ's password hashes: base64(salt + SHA-256(salt + password)), four bytes of salt.

The format is RabbitMQ's own (https://www.rabbitmq.com/docs/passwords, "computing a password hash").
The hash is fast, so it protects only passwords that nobody can guess: ours are random.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

ALGORITHM = "rabbit_password_hashing_sha256"
_SALT = 4
#: Bytes of randomness in a password; written in letters that a URL takes as they are.
_RANDOM = 24


def generate_password() -> str:
    """Return a random password."""
    return secrets.token_urlsafe(_RANDOM)


def hash_password(password: str, salt: bytes | None = None) -> str:
    """Return the hash of a password. ``salt``: four bytes; random unless given."""
    salt = secrets.token_bytes(_SALT) if salt is None else salt
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def matches_hash(password: str, stored: str) -> bool:
    """Return whether ``stored`` is a hash of ``password``; False for what is no hash."""
    try:
        raw = base64.b64decode(stored, validate=True)
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hash_password(password, raw[:_SALT]), stored)
