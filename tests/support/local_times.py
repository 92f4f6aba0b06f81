"""Local times of a node."""

from datetime import datetime
from zoneinfo import ZoneInfo

ZURICH = ZoneInfo("Europe/Zurich")
HOUR = 3600.0


def at(text: str, tz: object = ZURICH, fold: int = 0) -> float:
    """Seconds since 1970 of a local time, e.g. ``2026-11-23 20:00``."""
    return datetime.fromisoformat(text).replace(tzinfo=tz, fold=fold).timestamp()  # type: ignore[arg-type]
