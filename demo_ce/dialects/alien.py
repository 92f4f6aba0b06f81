"""The current AliEn: ``common/lib/AliEn/LQ/HTCONDOR.pm`` of alien-git/alien, last versions.

A file for condor_submit, V2 environment, policies over several lines,
counting by ``condor_status``.
"""

from __future__ import annotations

from demo_ce.counting import Query, schedd_queries
from demo_ce.site import Site, Submission

from .dialect import Dialect

# The blank line after each policy is AliEn's: its text ends in a newline and
# gets another one when it is joined.
_HOLD = (
    "periodic_hold = \\\n"
    "  JobStatus == 1 && ( \\\n"
    "    GridJobStatus =?= undefined && CurrentTime - EnteredCurrentStatus > 1800 \\\n"
    "  ) || \\\n"
    "  JobStatus <= 2 && ( \\\n"
    "    CurrentTime - EnteredCurrentStatus > 172800 \\\n"
    "  )\n"
)
_REMOVE = "periodic_remove = \\\n  CurrentTime - QDate > 259200\n"


class Alien(Dialect):
    """AliEn's HTCONDOR.pm."""

    name = "alien"
    on_stdin = False

    def name_submit_file(self, now: float) -> str:
        """Return the name of the description's file; AliEn uses one name for 64 s."""
        return f"htc-submit.{int(now) >> 6}.jdl"

    def build_description(self, agent: Submission, site: Site) -> str:
        """Return the submit description for this agent."""
        files = self.build_paths(agent, site)
        text = (
            f"cmd = {agent.script}\noutput = {files.output}\nerror  = {files.error}\n"
            f"log = {files.log}\n"
        )
        if site.router:
            text += (
                "universe = vanilla\n"
                "+WantJobRouter = True\n"
                "job_lease_duration = 7200\n"
                "ShouldTransferFiles = YES\n"
            )
        elif site.grid_resource:
            text += f"universe = grid\ngrid_resource = {site.grid_resource}\n"
        text += f'+TransferOutput = ""\n{_HOLD}\n{_REMOVE}\nuse_x509userproxy = true\n'
        environment = (
            f"ALIEN_CM_AS_LDAP_PROXY='{site.cluster_monitor}' "
            f"ALIEN_JOBAGENT_ID='{agent.agent_id(site)}'"
        )
        return text + f'environment = "{environment}"\n' + site.custom + "queue 1\n"

    def build_queries(self, user: str, site: Site) -> tuple[Query, ...]:
        """Return the queries by which this CE counts its jobs."""
        return schedd_queries()
