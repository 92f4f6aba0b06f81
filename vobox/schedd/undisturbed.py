"""Work that makes much and throws little away, without Python's search for cycles in between."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def undisturbed(wanted: bool) -> Iterator[None]:
    """Meanwhile nothing is looked at for cycles, in the whole process, if ``wanted``.

    Ten thousand messages and what becomes of them live until the end of a transaction, and
    looking at them again and again is a fifth of a rebuild's time.
    """
    if not wanted or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
