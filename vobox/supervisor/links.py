"""Writes the condor commands into one directory, for the front of the CE's PATH.

The console scripts of the installation name a Python that the CE's container may not have; these
name the one that runs thyme-vobox. They run isolated (``-I``), because the PYTHONPATH and
PYTHONHOME of a CE are meant for its own Python (AliEn sets them).
"""

import os
import stat
import sys
from typing import Dict, List

from hostfiles.regular_file import open_regular
from vobox.client.client import COMMANDS

#: Every user may run them.
_MODE = stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH
_TEXT = """\
#!{python} -IS
import sys
sys.path.append({root!r})
from {module} import main
sys.exit(main())
"""


def package_root() -> str:
    """Return the directory that contains the package vobox."""
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def list_commands() -> Dict[str, str]:
    """Map each condor command to the module whose ``main`` runs it."""
    found = dict.fromkeys(COMMANDS, "vobox.client.client")
    found["condor_version"] = "vobox.client.version"
    found["condor_wait"] = "vobox.client.wait"
    found["condor_watch_q"] = "vobox.client.watch_q"
    return found


def write_commands(directory: str, python: str) -> List[str]:
    """Write the commands into ``directory``; returns their names. Raises OSError."""
    root = package_root()
    os.makedirs(directory, 0o755, exist_ok=True)
    names = list_commands()
    for old in os.listdir(directory):
        # commands of an older release go; anything else in there is not ours
        if old.startswith("condor_") and old not in names:
            os.unlink(os.path.join(directory, old))
    for name, module in names.items():
        path = os.path.join(directory, name)
        with open(path + ".new", "w", opener=open_regular) as file:
            file.write(_TEXT.format(python=python, root=root, module=module))
            os.fchmod(file.fileno(), _MODE)
        os.rename(path + ".new", path)
    return sorted(names)


def find_python(given: str) -> str:
    """Return the absolute path of a Python for ``#!``; empty ``given``: the one that runs us."""
    return os.path.abspath(given or sys.executable)
