"""The routing keys of the stream's records: what a record claims to be, as the broker checks it.

A broker lets each user publish under certain keys only (docs/reference/broker.md), and does not
look into messages. So a reader believes a record only if its key's kind is its message's kind.
"""

from __future__ import annotations

import json
import re
from typing import Final

SUBMIT: Final = "submit."
EVENT: Final = "event."
DEAD: Final = "dead."
#: Kind of a message that has none; no reader believes it.
UNREADABLE: Final = "unreadable"

#: A header as codec.py writes it.
_START = re.compile(rb'\{"thyme":\d+,"kind":"([a-z_]{1,64})"[,}]')
_KIND = re.compile(r"[a-z_]{1,64}")


def make_event_key(body: bytes) -> str:
    """Return ``event.<kind>``, with the kind in the message's header."""
    if found := _START.match(body):
        return EVENT + found[1].decode()
    try:
        header = json.loads(body.split(b"\n", 1)[0])
    except (ValueError, RecursionError):
        return EVENT + UNREADABLE
    kind = header.get("kind") if isinstance(header, dict) else None
    if isinstance(kind, str) and _KIND.fullmatch(kind):
        return EVENT + kind
    return EVENT + UNREADABLE


def make_submit_key(pool: str) -> str:
    """Return the key of a pool's submits."""
    return SUBMIT + pool


def make_dead_key(pool: str) -> str:
    """Return the key of a pool's dead letters."""
    return DEAD + pool


def parse_kind(key: str) -> str:
    """Return the kind of message that may have this key: "submit", an event's kind, or ""."""
    if key.startswith(SUBMIT):
        return "submit"
    return key.removeprefix(EVENT) if key.startswith(EVENT) else ""


def parse_dead_pool(key: str) -> str:
    """Return the pool of a dead letter's key; "" for any other key."""
    return key.removeprefix(DEAD) if key.startswith(DEAD) else ""
