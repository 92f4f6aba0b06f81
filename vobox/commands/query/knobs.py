"""HTCondor's configuration as far as a query obeys it: ``_CONDOR_KNOB`` in the environment.

ARC sets ``_condor_CONDOR_Q_ONLY_MY_JOBS=false`` and
``_condor_CONDOR_Q_DASH_BATCH_IS_DEFAULT=false``; both cases of both parts count.
"""

from __future__ import annotations

from collections.abc import Mapping

_TRUE = {"true", "t", "yes", "y", "1"}
_FALSE = {"false", "f", "no", "n", "0"}


def boolean(env: Mapping[str, str], knob: str, default: bool) -> bool:
    """The knob's value; ``default`` where it is not set, or set to neither yes nor no."""
    wanted = "_condor_" + knob.lower()
    for name, value in env.items():
        if name.lower() == wanted:
            word = value.strip().lower()
            return word in _TRUE if word in _TRUE | _FALSE else default
    return default
