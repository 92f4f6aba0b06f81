"""JAliEn: ``alien.site.batchqueue.HTCONDOR``, the version with weighted CE lists (2020).

A file for condor_submit, one-line policies, V2 environment; counting by
``condor_q -const … -af``, reading stdout and stderr together.
"""

from __future__ import annotations

from demo_ce.counting import Query, job_list_queries
from demo_ce.site import Paths, Site, Submission

from .dialect import Dialect


class JAliEn(Dialect):
    """JAliEn's HTCONDOR.java."""

    name = "jalien"
    on_stdin = False

    def build_paths(self, agent: Submission, site: Site) -> Paths:
        """Return the paths of an agent's output, error and log."""
        return Paths.from_base(f"{site.log_folder}/jobagent_{site.pid}_{agent.number - 1}")

    def name_submit_file(self, now: float) -> str:
        """Return the name of the description's file; JAliEn uses one name for 2^16 ms."""
        return f"htc-submit.{int(now * 1000) >> 16}.jdl"

    def build_description(self, agent: Submission, site: Site) -> str:
        """Return the submit description for this agent."""
        files = self.build_paths(agent, site)
        hold = "(JobStatus <= 2 && CurrentTime - EnteredCurrentStatus > 172800)"
        if not _local_pool(site):
            hold = (
                "(JobStatus == 1 && GridJobStatus =?= undefined"
                f" && CurrentTime - EnteredCurrentStatus > 1800) || {hold}"
            )
        text = (
            f"cmd = {agent.script}\noutput = {files.output}\nerror = {files.error}\n"
            f"log = {files.log}\n"
            '+TransferOutput = ""\n'
            f"periodic_hold = {hold}\n"
            "periodic_remove = CurrentTime - QDate > 259200\n"
        )
        if site.router or _local_pool(site):
            text += "universe = vanilla\njob_lease_duration = 7200\nShouldTransferFiles = YES\n"
            if site.router:
                text += "+WantJobRouter = True\n"
        else:
            text += f"universe = grid\ngrid_resource = {site.grid_resource}\n"
        text += (
            "use_x509userproxy = true\n"
            f"environment = \"ALIEN_CM_AS_LDAP_PROXY='{site.cluster_monitor}'\"\n"
        )
        # println adds a second newline behind the statement.
        return text + site.custom + "queue 1\n" + "\n"

    def build_queries(self, user: str, site: Site) -> tuple[Query, ...]:
        """Return the queries by which this CE counts its jobs."""
        return job_list_queries(local_pool=_local_pool(site))


def _local_pool(site: Site) -> bool:
    """Tell whether the CE's name has no dot: JAliEn then submits to the local pool."""
    return not site.router and not site.grid_resource
