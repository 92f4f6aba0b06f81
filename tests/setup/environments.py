"""Python environments: the project's own (.venv), and those of the real batch clients.

``python3 -m tests.setup.environments .venv demo`` makes what `make demo` needs, and ``test`` what
everything else needs. Only the standard library: it runs before anything is installed.
"""

import hashlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from tests.setup.steps import PLACE, ROOT, SetupError, alone, describe, explain, run, say

#: What is installed for whom: the extras of setup.cfg, and what a person is told.
EXTRAS = {
    "demo": ("node,worker,vobox", "35 packages, 110 MB; half a minute, longer on a slow line"),
    "test": ("node,worker,vobox,dev", "100 packages, 340 MB; one or two minutes"),
}
_INPUTS = ("setup.cfg", "pyproject.toml", "tests/constraints.txt", "images/constraints.txt")
_CONSTRAINTS = "tests/constraints.txt"
#: For one call of pip: a slow mirror, not a dead one.
_SECONDS = 1200.0


def prepare(place: Path, kind: str) -> None:
    """Bring the project's environment in ``place`` up to date, if it is not.

    Args:
        place: the environment's directory.
        kind: a key of EXTRAS; an environment for tests is good for the demo too.

    Raises:
        SetupError: it cannot be made.
    """
    check_owner(ROOT, place, ROOT / "build")
    with alone():
        state = place / ".installed"
        wanted = _fingerprint(place)
        if _installed(state, wanted, kind):
            return
        extras, size = EXTRAS[kind]
        say(f"preparing {_relative(place)} ({size})")
        began = time.monotonic()
        state.unlink(missing_ok=True)
        editable = ["--config-settings", "editable_mode=compat", "-e", f".[{extras}]"]
        build(place, [["--upgrade", "pip>=25", "setuptools>=77"], ["-c", _CONSTRAINTS, *editable]])
        state.write_text(json.dumps({"of": wanted, "kind": kind}))
        say(f"{_relative(place)} is ready after {time.monotonic() - began:.0f} s")


def build(place: Path, installs: Sequence[Sequence[str]]) -> None:
    """Make a virtual environment, unless it is there, and install packages into it.

    Args:
        place: its directory.
        installs: the arguments of each ``pip install``, in their order.

    Raises:
        SetupError: it cannot be made, or the packages cannot be fetched.
    """
    log = PLACE / f"{place.name.lstrip('.')}.log"
    log.unlink(missing_ok=True)
    python = str(place / "bin/python")
    if not _works(place):
        if place.exists() and any(place.iterdir()):
            if not (place / "pyvenv.cfg").exists():
                raise SetupError(f"{place} holds files that are no Python environment")
            shutil.rmtree(place)  # half made, of another Python, or of another place
        command = [sys.executable, "-m", "venv", str(place.absolute())]
        code, said = run("an environment", command, log, seconds=_SECONDS)
        if code:
            raise SetupError(f"cannot make {place}: {explain(said, '', log)}")
    for number, words in enumerate(installs):
        # The first one also finds out, soon, whether there is an index.
        patience = ["--retries", "1"] if number == 0 else []
        code, said = run(
            f"pip, {number + 1} of {len(installs)}",
            [python, "-m", "pip", "--disable-pip-version-check", "--no-input", "install",
             "--progress-bar", "off", *patience, *words],
            log, seconds=_SECONDS,
        )  # fmt: skip
        if code:
            raise SetupError(explain(said, f"{_index(python)} (PIP_INDEX_URL)", log))


def _works(place: Path) -> bool:
    """Whether there is an environment with pip whose scripts name this place."""
    try:
        here = str(place.absolute()) in (place / "pyvenv.cfg").read_text()
        pip = [str(place / "bin/python"), "-m", "pip", "--version"]
        return here and subprocess.run(pip, capture_output=True).returncode == 0
    except OSError:
        return False


def check_owner(*places: Path) -> None:
    """Raise SetupError where this user may not write: the clone is another's, or read-only."""
    me = pwd.getpwuid(os.geteuid()).pw_name if _known(os.geteuid()) else str(os.geteuid())
    for place in places:
        if not place.exists() or os.access(place, os.W_OK):
            continue
        owner = place.owner() if _known(place.stat().st_uid) else str(place.stat().st_uid)
        if place == ROOT:
            raise SetupError(
                f"{me} cannot write in {place}, which belongs to {owner}: "
                f"run make as {owner}, or make a clone of your own"
            )
        raise SetupError(
            f"{place} belongs to {owner}, and {me} cannot write in it: "
            f"as {owner}, remove it (rm -r '{place}'), and run make again"
        )


def _known(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _fingerprint(place: Path) -> str:
    """Hash what an environment depends on: inputs, this Python, and the path in its scripts."""
    made = hashlib.sha256(f"{sys.version}\n{place.absolute()}\n".encode())
    for name in _INPUTS:
        made.update((ROOT / name).read_bytes())
    return made.hexdigest()


def _installed(state: Path, wanted: str, kind: str) -> bool:
    try:
        found = json.loads(state.read_text())
    except (OSError, ValueError):
        return False
    return bool(found.get("of") == wanted and kind in ("demo", found.get("kind")))


def _index(python: str) -> str:
    done = subprocess.run(
        [python, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True
    )
    return os.environ.get("PIP_INDEX_URL") or done.stdout.strip() or "PyPI"


def _relative(place: Path) -> str:
    return os.path.relpath(place)


def _end(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)


def main() -> int:
    """Make the environment that the command line names; return the exit code.

    The command line: the environment's directory and a key of EXTRAS.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    place, kind = sys.argv[1:]
    try:
        prepare(Path(place), kind)
    except SetupError as error:
        say(str(error))
        return 1
    except OSError as error:
        say(describe(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
