"""An environment of the real clients' own: made once, kept in build/, never mixed with ours.

Clients that cannot be installed within a test (ARC, AliEn, JAliEn, BLAH, Nextflow, Cromwell,
Makeflow) are represented by their own command lines and patterns.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
#: (file, pip's extra options)
LISTS = (("requirements.txt", ()), ("requirements-alone.txt", ("--no-deps",)))
#: Seconds for one pip; a slow mirror, not a dead one.
INSTALL = 280.0


def client_python() -> Path:
    """The Python of the clients' environment; skips where it cannot be made, fails in CI."""
    texts = "".join((HERE / name).read_text() for name, _ in LISTS)
    mark = hashlib.sha256((sys.version + texts).encode()).hexdigest()[:12]
    place = ROOT / "build" / f"clients-{mark}"
    place.parent.mkdir(exist_ok=True)
    with open(place.with_suffix(".lock"), "w") as lock:  # two sessions at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "complete").exists():
            _make(place)
    return place / "bin/python"


def _make(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    pip = [str(place / "bin/python"), "-m", "pip", "install", "--quiet"]
    commands = [[sys.executable, "-m", "venv", str(place)]]
    commands += [[*pip, *options, "-r", str(HERE / name)] for name, options in LISTS]
    for command in commands:
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=INSTALL, check=False
            )
        except subprocess.TimeoutExpired:
            _lacking(f"{' '.join(command)}: not done within {INSTALL:.0f} s")
        if done.returncode:
            _lacking(f"{' '.join(command)}: {done.stderr[-1000:]}")
    (place / "complete").touch()


def _lacking(why: str) -> None:
    text = f"the real clients cannot be installed: {why}"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)
