"""The descriptions that real CEs write, one file per dialect, byte by byte.

Sites run these texts for years and nobody can change them there, so a
condor_submit that takes them is what commissioning has to show.

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

from . import alien, alien_stdin, condor_pm, jalien


class Dialect(Protocol):
    """One CE's way to talk to HTCondor; each module of this package is one."""

    NAME: str
    ON_STDIN: bool  #: the description goes to condor_submit's stdin instead of a file
    SENDS_PROXY: bool  #: the description says ``use_x509userproxy = true``

    def paths(self, agent: Submission, site: Site) -> Paths: ...

    def submit_file(self, site: Site, now: float) -> str:
        """Base name of the description's file at the time ``now`` (s since the epoch)."""

    def describe(self, agent: Submission, site: Site) -> str:
        """The whole job description."""

    def queries(self, user: str, site: Site) -> tuple[Query, ...]:
        """How this CE asks for the numbers of agents."""


DIALECTS: dict[str, Dialect] = {
    module.NAME: cast(Dialect, module) for module in (alien, alien_stdin, condor_pm, jalien)
}
