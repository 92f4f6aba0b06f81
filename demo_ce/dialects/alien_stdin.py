"""The older AliEn: ``common/lib/AliEn/LQ/HTCONDOR.pm`` of alien-git/alien, first versions.

The description goes to condor_submit's stdin, without a newline at its end;
counting by ``condor_q USER -totals``.

One byte differs: that Perl joins its last policy and ``use_x509userproxy`` without a newline, which
every condor_submit refuses.
"""

from __future__ import annotations

from demo_ce.counting import Query, totals_queries
from demo_ce.site import Paths, Site, Submission

NAME = "alien-stdin"
ON_STDIN = True
SENDS_PROXY = True


def build_paths(agent: Submission, site: Site) -> Paths:
    """Return the paths of an agent's output, error and log."""
    return Paths.from_base(f"{site.log_folder}/jobagent_{agent.agent_id(site)}")


def name_submit_file(site: Site, now: float) -> str:
    """Return "": this CE gives the description to condor_submit's standard input."""
    return ""


def build_description(agent: Submission, site: Site) -> str:
    """Return the submit description that this CE writes for this agent."""
    files = build_paths(agent, site)
    text = (
        f"cmd = {agent.script}\noutput = {files.output}\nerror = {files.error}\nlog = {files.log}\n"
    )
    if site.router:
        text += (
            "universe = vanilla\n"
            "\t+WantJobRouter=True\n"
            "\tjob_lease_duration = 7200\n"
            "\tshould_transfer_files = YES\n"
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
    text += "\n"  # the newline that AliEn forgot
    return f"{text}use_x509userproxy = true\n{build_environment(agent, site)}queue 1"


def build_environment(agent: Submission, site: Site) -> str:
    """Return the line with the agent's environment, as all versions that use stdin write it."""
    monitor = site.cluster_monitor
    return (
        f"environment=\"ALIEN_CM_AS_LDAP_PROXY='{monitor}' "
        f"ALIEN_ALICE_CM_AS_LDAP_PROXY='{monitor}' "
        f"ALIEN_JOBAGENT_ID='{agent.agent_id(site)}'\"\n"
    )


def build_queries(user: str, site: Site) -> tuple[Query, ...]:
    """Return the queries by which this CE counts its jobs."""
    return totals_queries(user)
