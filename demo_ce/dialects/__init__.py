"""The job descriptions that real CEs write, byte by byte; one module for each dialect.

Deployed CEs cannot be changed: a site is ready when its condor_submit takes these texts.

The tests' expected texts were printed by the CEs' own Perl code, and JAliEn's follow its Java.
Where the demo CE differs from them: where the Perl adds up undefined values and would overfill a
site that does not answer, it submits nothing; a failed submit is repeated as another agent with a
new token, because the first may have been queued after all; the user is the one that the kernel
names.
"""

from __future__ import annotations

from typing import Protocol, cast

from demo_ce.counting import Query
from demo_ce.site import Paths, Site, Submission

from . import alien, alien_stdin, alien_v2_19, condor_pm, condor_pm_v2_19, jalien


class Dialect(Protocol):
    """How one CE uses HTCondor; each module of this package is one."""

    NAME: str
    ON_STDIN: bool  #: the description goes to condor_submit's stdin instead of a file
    SENDS_PROXY: bool  #: the description says ``use_x509userproxy = true``

    def build_paths(self, agent: Submission, site: Site) -> Paths:
        """Build the paths of an agent's output files."""

    def name_submit_file(self, site: Site, now: float) -> str:
        """Return the name of the description's file at ``now`` (seconds since the epoch)."""

    def build_description(self, agent: Submission, site: Site) -> str:
        """Build the whole job description."""

    def build_queries(self, user: str, site: Site) -> tuple[Query, ...]:
        """Build the queries by which this CE counts its agents."""


DIALECTS: dict[str, Dialect] = {
    module.NAME: cast(Dialect, module)
    for module in (alien, alien_stdin, condor_pm, jalien, alien_v2_19, condor_pm_v2_19)
}
