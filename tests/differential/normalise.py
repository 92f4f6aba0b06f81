"""Replace what no two runs have in common in the output of condor commands."""

from __future__ import annotations

import re
from collections.abc import Sequence

_RULES = (
    (re.compile(r"<\d+\.\d+\.\d+\.\d+:\d+[^>\s]*"), "<ADDRESS"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"), "TIME"),
    (re.compile(r"\d\d/\d\d(?:/\d\d)? \d\d:\d\d(?::\d\d)?"), "TIME"),
    (re.compile(r"\d+\+\d\d:\d\d:\d\d"), "DURATION"),
)
#: Where a cluster's id stands: before its process, or after one of these words.
_ID = (
    r"(?:(?<=cluster )|(?<=clusters )|(?<=ClusterId == )|(?<=ClusterId = ))0*{0}\b|\b0*{0}(?=\.\d)"
)


def normalise(text: str, clusters: Sequence[int], user: str) -> str:
    """Return the text with ids, times, addresses and the user's name replaced.

    :param text: what a command printed
    :param clusters: the clusters that were submitted, in order: they become C1, C2, ...
    :param user: the name that becomes USER
    """
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    for number, cluster in enumerate(clusters, 1):
        text = re.sub(_ID.format(cluster), f"C{number}", text)
    return re.sub(rf"(?<=by user ){re.escape(user)}\b", "USER", text)


def find_cluster(text: str) -> int | None:
    """Return the cluster that condor_submit's output names, None if it names none."""
    found = re.search(r"submitted to cluster (\d+)\.$", text, re.M) or re.match(
        r"(\d+)\.\d+ - \d+\.\d+$", text
    )
    return int(found[1]) if found else None
