"""The benches by id; the ids are named in the issues and stay what they are."""

from __future__ import annotations

from collections.abc import Callable

from .condor_submit import condor_submit
from .dispatch import demo_dispatch
from .dispatch_amqp import dispatch
from .fill import fill
from .latency import latency
from .many_workers import workers_8000
from .owner import owner_speed
from .reclaim import reclaim
from .refill import refill
from .rest import daemon_rest
from .result import Result
from .submit_bulk import submit_bulk
from .worker_rss import worker_rss

BENCHES: dict[str, Callable[[], Result]] = {
    "demo-dispatch": demo_dispatch,
    "owner-speed": owner_speed,
    "fill": fill,
    "refill": refill,
    "reclaim": reclaim,
    "daemon-rest": daemon_rest,
    "condor-submit": condor_submit,
    "submit-bulk": submit_bulk,
    "dispatch": dispatch,
    "latency": latency,
    "workers-8000": workers_8000,
    "worker-rss": worker_rss,
}
