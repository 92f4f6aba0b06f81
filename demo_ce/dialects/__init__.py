"""The job descriptions that real CEs write, byte by byte; one module for each dialect.

Deployed CEs cannot be changed: a site is ready when its condor_submit takes these texts.

The tests' expected texts were printed by the CEs' own Perl code, and JAliEn's follow its Java.
Where the demo CE differs from them: where the Perl adds up undefined values and would overfill a
site that does not answer, it submits nothing; a failed submit is repeated as another agent with a
new token, because the first may have been queued after all; the user is the one that the kernel
names.
"""

from __future__ import annotations

from .alien import Alien
from .alien_stdin import AlienStdin, AlienV219
from .condor_pm import CondorPm, CondorPmV219
from .dialect import Dialect
from .jalien import JAliEn

DIALECTS: dict[str, Dialect] = {
    one.name: one
    for one in (Alien(), AlienStdin(), CondorPm(), JAliEn(), AlienV219(), CondorPmV219())
}

__all__ = ["DIALECTS", "Dialect"]
