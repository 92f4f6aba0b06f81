"""Give a slice of systemd a property, which systemd then keeps.

What anybody else writes into a slice's control group is lost when systemd applies its own
settings again: at ``systemctl daemon-reload``, at ``daemon-reexec``, and when a package upgrades
it.  A property that is set with ``--runtime`` outlives all of these, and is gone at the next boot.

Manual pages: systemctl(1), systemd.resource-control(5).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

#: There while systemd runs the machine (sd_booted(3)); not inside an engine's container.
RUNNING = Path("/run/systemd/system")
#: Seconds that systemd may take to answer.
_PATIENCE = 10.0


def find_property_setter(running: Path = RUNNING) -> Callable[[str, str], str] | None:
    """Return what sets a slice's property; None where systemd cannot be asked."""
    if not running.is_dir() or shutil.which("systemctl") is None:
        return None
    return set_property


def set_property(unit: str, setting: str) -> str:
    """Set a property until the next boot; return what went wrong, "" if nothing did.

    ``unit`` is a slice's name, ``setting`` is as in a unit's file: ``MemoryMax=1000000``.
    """
    command = ["systemctl", "--no-ask-password", "set-property", "--runtime", unit, setting]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired:
        why = f"no answer within {_PATIENCE:.0f} s"
    except OSError as error:
        why = error.strerror or str(error)
    else:
        if done.returncode == 0:
            return ""
        lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        why = lines[-1]
    return f"systemd will undo {setting} of {unit} at its next daemon-reload: {why}"
