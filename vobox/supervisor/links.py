"""The condor commands in one directory, for the front of the CE's PATH.

The console scripts name the Python that they were installed with, which the CE's container may
not have; these name the one that runs here. Isolated (``-I``): a CE's PYTHONPATH and PYTHONHOME
are meant for its own Python (AliEn sets them).
"""

import os
import stat
import sys
from typing import Dict, List

from vobox.client.client import COMMANDS

#: For whoever the CE runs as.
_MODE = stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH
_TEXT = """\
#!{python} -IS
import sys
sys.path.append({root!r})
from {module} import main
sys.exit(main())
"""


def package_root() -> str:
    """The directory that has the package vobox."""
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def commands() -> Dict[str, str]:
    """Each condor command and the module whose ``main`` runs it."""
    found = dict.fromkeys(COMMANDS, "vobox.client.client")
    found["condor_version"] = "vobox.client.version"
    found["condor_wait"] = "vobox.client.wait"
    return found


def make(directory: str, python: str) -> List[str]:
    """Write the commands into ``directory``; their names. Raises OSError."""
    root = package_root()
    os.makedirs(directory, 0o755, exist_ok=True)
    names = commands()
    for old in os.listdir(directory):
        # a command of an older release; whatever else is in there is not ours
        if old.startswith("condor_") and old not in names:
            os.unlink(os.path.join(directory, old))
    for name, module in names.items():
        path = os.path.join(directory, name)
        with open(path + ".new", "w") as file:
            file.write(_TEXT.format(python=python, root=root, module=module))
            os.fchmod(file.fileno(), _MODE)
        os.rename(path + ".new", path)
    return sorted(names)


def interpreter(given: str) -> str:
    """An absolute path of a Python for ``#!``; a virtual environment's is as good as any."""
    return os.path.abspath(given or sys.executable)
