"""The environment in which a CE runs condor commands, cleaned as AliEn does it.

Source: ``cleanEnv`` in ``common/lib/AliEn/LQ/HTCONDOR.pm`` of alien-git/alien:
the CE runs with AliEn's own libraries and tools, which the batch system's commands must not use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_PATHS = ("LD_LIBRARY_PATH", "PATH")
_DROPPED = ("GLOBUS_LOCATION", "MYPROXY_LOCATION", "X509_CERT_DIR")


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Copy the environment without the parts of PATH and LD_LIBRARY_PATH below $ALIEN_ROOT.

    Without ALIEN_ROOT the paths are kept; the Perl's pattern would then match every part and leave
    PATH empty.
    """
    cleaned = {name: value for name, value in environment.items() if name not in _DROPPED}
    root = environment.get("ALIEN_ROOT")
    if root:
        below = re.compile(re.escape(root) + "[^:]*:?")
        for name in _PATHS:
            if name in cleaned:
                cleaned[name] = below.sub("", cleaned[name])
    return cleaned
