"""Start the threads beside the loop, and say where the node gives none."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from commandline.parser import describe_no_thread
from plancton.errors import EngineUnavailable


def start_thread(target: Callable[..., None], name: str, *arguments: object) -> threading.Thread:
    """Start a daemon thread.

    Raises EngineUnavailable where the node gives none: what it was for is tried again later.
    """
    thread = threading.Thread(target=target, args=arguments, name=name, daemon=True)
    with needing_threads():
        thread.start()
    return thread


@contextmanager
def needing_threads() -> Iterator[None]:
    """Raise EngineUnavailable where a thread that is started here cannot be had."""
    try:
        yield
    except RuntimeError as error:
        if not (why := describe_no_thread(error)):
            raise
        raise EngineUnavailable(why) from error
