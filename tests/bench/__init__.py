"""The benches by id; the ids are named in the issues and stay what they are."""

from __future__ import annotations

from collections.abc import Callable

from .dispatch import demo_dispatch
from .fill import fill
from .owner import owner_speed
from .reclaim import reclaim
from .refill import refill
from .rest import daemon_rest
from .result import Result

BENCHES: dict[str, Callable[[], Result]] = {
    "demo-dispatch": demo_dispatch,
    "owner-speed": owner_speed,
    "fill": fill,
    "refill": refill,
    "reclaim": reclaim,
    "daemon-rest": daemon_rest,
}
