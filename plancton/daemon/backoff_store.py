"""Keep what the back-offs have learned, and what pilots were told, over a restart of the daemon.

Without it, every upgrade of a node whose pilots fail would start a node full of them again.
The times in it are of the monotonic clock, which goes on until the node is restarted; after
that the file is not believed, as the restart may have been the repair.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from plancton.config.model import Config
from plancton.model import Breaker, Expectation, History, NoWork, ToldPilot

_log = logging.getLogger("plancton")

_VERSION = 1


def select_kept(history: History) -> History:
    """Return the part that is kept.

    The owner's load and the time over capacity are measured again.
    """
    return replace(
        History(),
        last_eviction=history.last_eviction,
        no_work=history.no_work,
        breaker=history.breaker,
        judged=history.judged,
        pilot_config=history.pilot_config,
        pilot_image=history.pilot_image,
        forgotten_at=history.forgotten_at,
        told=history.told,
        told_end=history.told_end,
        withdrawn_end=history.withdrawn_end,
    )


def save(path: Path, history: History, boot: str) -> None:
    """Write the history to ``path``; ``boot`` is the kernel's boot id.  Raises OSError."""
    content = {
        "version": _VERSION,
        "boot": boot,
        "last_eviction": history.last_eviction,
        "no_work": asdict(history.no_work),
        "breaker": asdict(history.breaker),
        "judged": sorted(history.judged),
        "pilot_config": history.pilot_config,
        "pilot_image": history.pilot_image,
        "forgotten_at": history.forgotten_at,
        "told": [asdict(one) for one in history.told],
        "told_end": history.told_end,
        "withdrawn_end": history.withdrawn_end,
    }
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps(content), encoding="utf-8")
    fresh.replace(path)


def load(path: Path, config: Config, now: float, boot: str) -> History:
    """Return what was saved in ``path``, if it is of this ``boot``; else an empty history.

    No wait is longer than the configuration of today allows.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] != _VERSION or content["boot"] != boot:
            return History()
        found = _read(content)
    except FileNotFoundError:
        return History()
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("%s: cannot be used, back-offs begin again: %s", path, error)
        return History()
    no_work, breaker = found.no_work, found.breaker
    return replace(
        found,
        last_eviction=None if found.last_eviction is None else min(found.last_eviction, now),
        no_work=replace(
            no_work, next_probe=min(no_work.next_probe, now + config.no_work_backoff_max)
        ),
        breaker=replace(
            breaker, next_probe=min(breaker.next_probe, now + config.breaker_backoff_max)
        ),
    )


def _read(content: dict[str, Any]) -> History:
    no_work, breaker, last = content["no_work"], content["breaker"], content["last_eviction"]
    return History(
        last_eviction=_optional(last),
        no_work=NoWork(
            level=int(no_work["level"]),
            next_probe=float(no_work["next_probe"]),
            patience=float(no_work["patience"]),
        ),
        breaker=Breaker(
            failures=int(breaker["failures"]),
            level=int(breaker["level"]),
            next_probe=float(breaker["next_probe"]),
            patience=float(breaker["patience"]),
            reason=str(breaker["reason"]),
        ),
        judged=frozenset(str(one) for one in content["judged"]),
        # Daemons of earlier versions did not write these.
        pilot_config=str(content.get("pilot_config", "")),
        pilot_image=str(content.get("pilot_image", "")),
        forgotten_at=_optional(content.get("forgotten_at")),
        told=tuple(_read_told(one) for one in content.get("told", ())),
        told_end=_optional(content.get("told_end")),
        withdrawn_end=_optional(content.get("withdrawn_end")),
    )


def _read_told(content: dict[str, Any]) -> ToldPilot:
    life = content["life"]
    return ToldPilot(
        str(content["id"]),
        life and Expectation(float(life["seconds"]), str(life["why"]), _optional(life["unclosed"])),
        float(content["started"]),
        str(content["stop_reason"]),
    )


def _optional(value: Any) -> float | None:
    return None if value is None else float(value)
