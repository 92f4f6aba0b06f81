"""AliEn's first HTCondor back end as of 2016: ``CONDOR.pm`` of alien-git/alien, branch v2-19.

The description of ``condor-pm``; counting the lines of ``condor_q -format``.
"""

from __future__ import annotations

from demo_ce.counting import Query, owner_line_queries
from demo_ce.dialects.condor_pm import build_description, build_paths, name_submit_file
from demo_ce.site import Site

NAME = "condor-pm-v2-19"
ON_STDIN = True
SENDS_PROXY = False

__all__ = ["build_description", "build_paths", "build_queries", "name_submit_file"]


def build_queries(user: str, site: Site) -> tuple[Query, ...]:
    """Return the queries by which this CE counts its jobs."""
    return owner_line_queries()
