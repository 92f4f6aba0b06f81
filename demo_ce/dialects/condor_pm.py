"""AliEn's first HTCondor back end: ``common/lib/AliEn/LQ/CONDOR.pm`` of alien-git/alien.

The description goes to condor_submit's stdin, with a V1 environment that asks
for the job's own id.

It counts by ``condor_q USER -totals`` as its successor does. The Perl counts lines with a
GridJobStatus: outside the grid universe there are none, and it would submit for ever.
"""

from __future__ import annotations

from demo_ce.counting import Query, totals_queries
from demo_ce.site import Paths, Site, Submission

NAME = "condor-pm"
ON_STDIN = True
SENDS_PROXY = False


def build_paths(agent: Submission, site: Site) -> Paths:
    """Return the paths of an agent's output, error and log."""
    # ALIEN_LOG, which the CE sets for each agent
    return Paths.from_base(f"{site.log_folder}/AliEn.JobAgent.{agent.agent_id(site)}")


def name_submit_file(site: Site, now: float) -> str:
    """Return "": this CE gives the description to condor_submit's standard input."""
    return ""


def build_description(agent: Submission, site: Site) -> str:
    """Return the submit description that AliEn's CONDOR.pm writes for this agent."""
    files = build_paths(agent, site)
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


def build_queries(user: str, site: Site) -> tuple[Query, ...]:
    """Return the queries by which this CE counts its jobs."""
    return totals_queries(user)
