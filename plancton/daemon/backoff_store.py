"""Keep what the back-offs have learned, and what pilots were told, over a restart of the daemon.

Without it, every upgrade of a node whose pilots fail would start a node full of them again.
The times in it are of the monotonic clock, which goes on until the node is restarted; after
that the file is not believed, as the restart may have been the repair.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter

from hostfiles.regular_file import open_regular
from plancton.config.model import Config
from plancton.model import History

_log = logging.getLogger("plancton")

_VERSION = 1
#: What is kept; the owner's load and the time over capacity, for example, are measured again.
_KEPT = (
    "last_eviction", "no_work", "breaker", "judged", "pilot_config", "pilot_image", "forgotten_at",
    "told", "told_end", "withdrawn_end",
)  # fmt: skip
_HISTORY = TypeAdapter(History)


def select_kept(history: History) -> History:
    """Return the part that is kept."""
    return replace(History(), **{name: getattr(history, name) for name in _KEPT})


def save(path: Path, history: History, boot: str) -> None:
    """Write the history to ``path``; ``boot`` is the kernel's boot id.  Raises OSError."""
    kept = _HISTORY.dump_python(history, mode="json", include=set(_KEPT))
    fresh = path.with_name(path.name + ".new")
    with open(fresh, "w", encoding="utf-8", opener=open_regular) as file:
        file.write(json.dumps({"version": _VERSION, "boot": boot, **kept}))
    fresh.replace(path)


def load(path: Path, config: Config, now: float, boot: str) -> History:
    """Return what was saved in ``path``, if it is of this ``boot``; else an empty history.

    No wait is longer than the configuration of today allows.
    """
    try:
        with open(path, encoding="utf-8", opener=open_regular) as file:
            content = json.load(file)
        if content["version"] != _VERSION or content["boot"] != boot:
            return History()
        found = select_kept(_HISTORY.validate_python(content))
    except FileNotFoundError:
        return History()
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        why = " ".join(str(error).split())
        _log.warning("%s: cannot be used, back-offs begin again: %s", path, why)
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
