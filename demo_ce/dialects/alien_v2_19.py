"""AliEn of 2017: ``common/lib/AliEn/LQ/HTCONDOR.pm`` of alien-git/alien, branch v2-19.

The description of ``alien-stdin`` with the newline that it forgot; counting by ``condor_status``.
"""

from __future__ import annotations

from demo_ce.counting import Query, schedd_total_queries
from demo_ce.dialects.alien_stdin import build_environment, build_paths, name_submit_file
from demo_ce.site import Site, Submission

NAME = "alien-v2-19"
ON_STDIN = True
SENDS_PROXY = True

__all__ = ["build_description", "build_paths", "build_queries", "name_submit_file"]


def build_description(agent: Submission, site: Site) -> str:
    """Return the submit description that AliEn v2-19's HTCONDOR.pm writes for this agent."""
    files = build_paths(agent, site)
    text = (
        f"cmd = {agent.script}\noutput = {files.output}\nerror = {files.error}\nlog = {files.log}\n"
    )
    if site.router:
        text += (
            "universe = vanilla\n"
            "\t+WantJobRouter=True\n"
            "\tjob_lease_duration = 7200\n"
            "\tShouldTransferFiles = YES\n"
            '\t+TransferOutput = ""\n'
            "\tperiodic_remove = (CurrentTime - QDate > 7*24*3600)"
        )
    else:
        text += (
            "universe = grid\n"
            '\t+TransferOutput = ""\n'
            "\t#periodic_remove = (RemoteWallClockTime > 48*3600 ) || "
            "(JobStatus==5 && (CurrentTime - EnteredCurrentStatus) > 5*3600 ) \n"
            "\tperiodic_remove = (CurrentTime - QDate) > 7*24*3600"
        )
        if site.grid_resource:
            text += f"\ngrid_resource = {site.grid_resource}"
        if site.external_cloud:
            text += "\n+WantExternalCloud = True"
    return f"{text}\nuse_x509userproxy = true\n{build_environment(agent, site)}queue 1"


def build_queries(user: str, site: Site) -> tuple[Query, ...]:
    """Return the queries by which this CE counts its jobs."""
    return schedd_total_queries()
