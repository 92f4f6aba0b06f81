"""The keys of the stream's records: what a record claims to be, as far as the broker checks it.

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
#: Of a message that has no kind; nobody believes it.
UNREADABLE: Final = "unreadable"

#: A header as codec.py writes it.
_START = re.compile(rb'\{"thyme":\d+,"kind":"([a-z_]{1,64})"[,}]')
_KIND = re.compile(r"[a-z_]{1,64}")


def make_event_key(body: bytes) -> str:
    """``event.<kind>``, the kind as the message's header gives it."""
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
    return SUBMIT + pool


def make_dead_key(pool: str) -> str:
    return DEAD + pool


def parse_kind(key: str) -> str:
    """The kind of message that may come under this key: "submit", an event's kind, or ""."""
    if key.startswith(SUBMIT):
        return "submit"
    return key.removeprefix(EVENT) if key.startswith(EVENT) else ""


def parse_dead_pool(key: str) -> str:
    """The pool of a dead letter's key; "" for any other key."""
    return key.removeprefix(DEAD) if key.startswith(DEAD) else ""
