"""AliEn's first HTCondor back end: ``common/lib/AliEn/LQ/CONDOR.pm`` of alien-git/alien.

The description goes to condor_submit's stdin, with a V1 environment that asks
for the job's own id.

It counts by ``condor_q USER -totals`` as its successor does; the Perl counts lines with a
GridJobStatus: outside the grid universe there are none, and it would submit for ever. As of 2016
(branch v2-19) it counts the lines of ``condor_q -format``.
"""

from __future__ import annotations

from demo_ce.counting import Query, owner_line_queries, totals_queries
from demo_ce.site import Paths, Site, Submission

from .dialect import Dialect


class CondorPm(Dialect):
    """Its first versions."""

    name = "condor-pm"
    sends_proxy = False

    def build_paths(self, agent: Submission, site: Site) -> Paths:
        """Return the paths of an agent's output, error and log."""
        # ALIEN_LOG, which the CE sets for each agent
        return Paths.from_base(f"{site.log_folder}/AliEn.JobAgent.{agent.agent_id(site)}")

    def build_description(self, agent: Submission, site: Site) -> str:
        """Return the submit description for this agent."""
        files = self.build_paths(agent, site)
        monitor = site.cluster_monitor
        # CE_SUBMITARG_LIST: each entry is a line, and an empty line ends them.
        extra = ""
        if site.grid_resource and not site.router:
            extra = f"universe = grid\ngrid_resource = {site.grid_resource}\n"
        return (
            f"executable = {agent.script}\n"
            "arguments = \n"
            f"{extra}\n"
            f"output = {files.output}\n"
            f"error  = {files.error}\n"
            f"log    = {files.log}\n"
            "environment=CONDOR_ID=$(Cluster).$(Process);"
            f"ALIEN_CM_AS_LDAP_PROXY={monitor};"
            f"ALIEN_JOBAGENT_ID={agent.agent_id(site)};"
            f"ALIEN_ALICE_CM_AS_LDAP_PROXY={monitor}\n"
            "queue\n"
        )

    def build_queries(self, user: str, site: Site) -> tuple[Query, ...]:
        """Return the queries by which this CE counts its jobs."""
        return totals_queries(user)


class CondorPmV219(CondorPm):
    """Branch v2-19."""

    name = "condor-pm-v2-19"

    def build_queries(self, user: str, site: Site) -> tuple[Query, ...]:
        """Return the queries by which this CE counts its jobs."""
        return owner_line_queries()
