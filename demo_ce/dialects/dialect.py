"""What the dialects of all CEs have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

from demo_ce.counting import Query
from demo_ce.site import Paths, Site, Submission


class Dialect(ABC):
    """How one CE uses HTCondor."""

    name: str
    #: the description goes to condor_submit's stdin instead of a file
    on_stdin = True
    #: the description says ``use_x509userproxy = true``
    sends_proxy = True

    def build_paths(self, agent: Submission, site: Site) -> Paths:
        """Build the paths of an agent's output files."""
        return Paths.from_base(f"{site.log_folder}/jobagent_{agent.agent_id(site)}")

    def name_submit_file(self, now: float) -> str:
        """Return the name of the description's file at ``now`` (seconds since the epoch)."""
        raise NotImplementedError(f"{self.name} writes no file")

    @abstractmethod
    def build_description(self, agent: Submission, site: Site) -> str:
        """Build the whole job description."""

    @abstractmethod
    def build_queries(self, user: str, site: Site) -> tuple[Query, ...]:
        """Build the queries by which this CE counts its agents."""
