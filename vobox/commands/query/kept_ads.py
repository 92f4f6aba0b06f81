"""Bound the ads that queries keep in memory: of one query, and of all that a user has at once.

Most queries read one job after the other and forget it. Those that sort or compare with every
pilot keep ads until their client has read the answer, which may take it minutes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from vobox.classad.ad import Ad
from vobox.rpc.types import QueueView

from .ad_files import TooLarge

#: Bytes of an ad beside its text, roughly.
OBJECT: Final = 1024
#: Bytes of the ads that one query keeps; 50,000 jobs have some 60 million.
MAX_SIZE: Final = 256 * 1024 * 1024
#: What any number of queries may keep each: some hundred ads.
FEW: Final = 256 * 1024


def keep_ads(ads: Iterable[Ad], view: QueueView) -> Iterator[Ad]:
    """Yield the ads, for a caller who keeps them all in memory.

    Whoever reads a kept ad should read a copy of it: what a stored ad was asked for stays
    decompressed. Raises TooLarge for more than ``MAX_SIZE``; CommandRefused where other queries of
    the same user keep many, and go on doing so. Call it for one set of ads of a query only.
    """
    size, are_few = 0, True
    for ad in ads:
        size += OBJECT + ad.measure()
        if are_few and size > FEW:
            are_few = False
            view.begin_keeping_many()
        if size > MAX_SIZE:
            raise TooLarge(f"more than {MAX_SIZE} bytes of ads to be kept in memory; select fewer")
        yield ad
