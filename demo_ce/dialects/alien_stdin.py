"""The older AliEn: ``HTCONDOR.pm`` of alien-git/alien, first versions and that of branch v2-19.

The description goes to condor_submit's stdin, without a newline at its end; counting by
``condor_q USER -totals``, in v2-19 by ``condor_status``.

One byte differs: the first versions join the last policy and ``use_x509userproxy`` without a
newline, which every condor_submit refuses.
"""

from __future__ import annotations

from demo_ce.counting import Query, schedd_total_queries, totals_queries
from demo_ce.site import Site, Submission

from .dialect import Dialect


class AlienStdin(Dialect):
    """The first versions."""

    name = "alien-stdin"
    #: how the files of a vanilla job travel
    _transfer = "\tshould_transfer_files = YES\n"

    def build_description(self, agent: Submission, site: Site) -> str:
        """Return the submit description for this agent."""
        files, monitor = self.build_paths(agent, site), site.cluster_monitor
        text = (
            f"cmd = {agent.script}\noutput = {files.output}\nerror = {files.error}\n"
            f"log = {files.log}\n"
        )
        if site.router:
            text += (
                "universe = vanilla\n"
                "\t+WantJobRouter=True\n"
                "\tjob_lease_duration = 7200\n"
                f"{self._transfer}"
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
        return (
            f"{text}\nuse_x509userproxy = true\n"
            f"environment=\"ALIEN_CM_AS_LDAP_PROXY='{monitor}' "
            f"ALIEN_ALICE_CM_AS_LDAP_PROXY='{monitor}' "
            f"ALIEN_JOBAGENT_ID='{agent.agent_id(site)}'\"\nqueue 1"
        )

    def build_queries(self, user: str, site: Site) -> tuple[Query, ...]:
        """Return the queries by which this CE counts its jobs."""
        return totals_queries(user)


class AlienV219(AlienStdin):
    """Branch v2-19."""

    name = "alien-v2-19"
    _transfer = '\tShouldTransferFiles = YES\n\t+TransferOutput = ""\n'

    def build_queries(self, user: str, site: Site) -> tuple[Query, ...]:
        """Return the queries by which this CE counts its jobs."""
        return schedd_total_queries()
