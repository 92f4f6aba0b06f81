"""Start the threads beside the loop, which go on for as long as they have something to do."""

from __future__ import annotations

import threading
from collections.abc import Callable

from commandline.parser import describe_no_thread
from plancton.errors import EngineUnavailable


def start_thread(target: Callable[..., None], name: str, *arguments: object) -> threading.Thread:
    """Start a daemon thread.

    Raises EngineUnavailable where the node gives none: what it was for is tried again later.
    """
    thread = threading.Thread(target=target, args=arguments, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        if not (why := describe_no_thread(error)):
            raise
        raise EngineUnavailable(why) from error
    return thread
