"""The environment a CE's condor commands run in, as AliEn cleans it.

Source: ``cleanEnv`` in ``common/lib/AliEn/LQ/HTCONDOR.pm`` of alien-git/alien:
the CE runs inside AliEn's own tree of libraries and tools, and the batch
system's commands must not meet them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_PATHS = ("LD_LIBRARY_PATH", "PATH")
_DROPPED = ("GLOBUS_LOCATION", "MYPROXY_LOCATION", "X509_CERT_DIR")


def clean_env(environment: Mapping[str, str]) -> dict[str, str]:
    """A copy without the parts of PATH and LD_LIBRARY_PATH below $ALIEN_ROOT.

    Without ALIEN_ROOT the paths stay: the Perl's pattern would then match
    every part and leave no PATH at all.
    """
    cleaned = {name: value for name, value in environment.items() if name not in _DROPPED}
    root = environment.get("ALIEN_ROOT")
    if root:
        below = re.compile(re.escape(root) + "[^:]*:?")
        for name in _PATHS:
            if name in cleaned:
                cleaned[name] = below.sub("", cleaned[name])
    return cleaned
