"""The benches by id; the ids are named in the issues and stay what they are."""

from __future__ import annotations

from collections.abc import Callable

from .dispatch import demo_dispatch
from .result import Result

BENCHES: dict[str, Callable[[], Result]] = {"demo-dispatch": demo_dispatch}
