"""Replace what no two runs have in common in the output of condor commands."""

import re
from collections.abc import Sequence
from typing import NamedTuple

_RULES = (
    (re.compile(r"<\d+\.\d+\.\d+\.\d+:\d+[^>\s]*>?"), "<ADDRESS>"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"), "TIME"),
    # " 3/9  08:07" in a table; "3/9 08:07" where a step made the blanks of a row one
    (
        re.compile(r"(?:\d\d|(?<!\S) \d|(?<=\S )\d)/(?:\d\d(?:/\d\d)?|\d ?) \d\d:\d\d(?::\d\d)?"),
        "TIME",
    ),
    (re.compile(r"\d+\+\d\d:\d\d:\d\d"), "DURATION"),
)
#: Where a cluster's id stands: before its process, or after one of these words.
_ID = (
    r"(?:(?<=cluster )|(?<=clusters )|(?<=-clusters )|(?<=ClusterId == )|(?<=ClusterId = )"
    r'|(?<=clusterid = )|(?<="ClusterId": )|(?<="ClusterId"><i>)|(?<=ID: ))0*{0}\b'
    r'|(?<!version=")(?<![\w.])0*{0}(?=\.\d)'
)


class Names(NamedTuple):
    """The names that differ from site to site."""

    user: str
    #: the schedd's host, "" where it is not known
    host: str = ""
    #: the directory in which the commands run
    place: str = ""


def normalise(text: str, clusters: Sequence[int], names: Names) -> str:
    """Return the text with ids, times, addresses and names replaced.

    :param text: what a command printed
    :param clusters: the clusters that were submitted, in order: they become C1, C2, ...
    :param names: they become USER, HOST and PLACE; the blanks that fill a column of users or of
        batch names are one
    """
    if names.place:
        text = text.replace(names.place, "PLACE")
    if names.host:
        text = re.sub(rf"(?<![\w.-]){re.escape(names.host)}(?![\w-])", "HOST", text)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    for number, cluster in enumerate(clusters, 1):
        text = re.sub(_ID.format(cluster), f"C{number}", text)
    text = re.sub(rf"(?<![\w/.-]){re.escape(names.user)}\b(?: +(?! *$))?", _name_user, text)
    return re.sub(r"(?m)^ *(C\d+\.\d+|USER ID: C\d+|OWNER BATCH_NAME) +", r"\1 ", text)


def _name_user(found: re.Match[str]) -> str:
    return "USER " if found[0].endswith(" ") else "USER"


def find_cluster(text: str) -> int | None:
    """Return the cluster that condor_submit's output names, None if it names none."""
    found = re.search(r"submitted to cluster (\d+)\.$", text, re.M) or re.match(
        r"(\d+)\.\d+ - \d+\.\d+$", text
    )
    return int(found[1]) if found else None
