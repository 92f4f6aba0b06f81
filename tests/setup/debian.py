"""Debian's packages: all that are missing are installed at once."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.setup.steps import PLACE, SetupError, run, say

#: Seconds that another apt on this machine is waited for, and for all downloads and unpacking.
_LOCK, _SECONDS = 600, 1800.0
#: apt's own words about what went wrong.
_COMPLAINT = re.compile(r"^(?:E|W|Err|dpkg):?.*", re.MULTILINE)
_HELD = re.compile(r"Could not get lock (\S+)|Unable to lock directory (\S+)")
#: Debian asks this program whether a package that is installed may start its service.
POLICY = Path("/usr/sbin/policy-rc.d")
_REFUSE = """\
#!/bin/sh
# of Plancton's test set-up: the packages that it installs start no service
exit 101
"""
_ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1", "LC_ALL": "C.UTF-8"}


def install(
    packages: Sequence[str], clock: Callable[[], float] = time.monotonic, pause: float = 2.0
) -> None:
    """Install packages, without what they recommend; none starts its service.

    Args:
        packages: their names.
        clock: seconds; how long another apt has been waited for.
        pause: seconds between two tries while another apt holds its lists.

    Raises:
        SetupError: with apt's own last words.
    """
    log = PLACE / "apt.log"
    log.unlink(missing_ok=True)
    say(f"apt installs {len(packages)} packages: {' '.join(packages)} (a minute or two)")
    began = clock()
    options = ["-o", f"DPkg::Lock::Timeout={_LOCK}", "-o", "Dpkg::Use-Pty=0"]
    waiting, complaints = False, ""
    with _no_service_starts():
        for words in (
            ["update"],
            ["install", "--yes", "--no-install-recommends", *packages],
        ):
            while True:
                code, said = run(
                    f"apt-get {words[0]}", ["apt-get", *options, *words], log,
                    seconds=_SECONDS, environment=_ENVIRONMENT,
                )  # fmt: skip
                # `update` does not wait for its lock, whatever is asked of it.
                held = _HELD.search(said)
                if code == 0 or held is None or clock() - began > _LOCK:
                    break
                if not waiting:
                    say(f"another program uses apt; waiting for it, up to {_LOCK // 60} minutes")
                waiting = True
                time.sleep(pause)
            # `update` succeeds when a mirror does not answer; then `install` fails.
            complaints += "".join(f"    {line}\n" for line in _COMPLAINT.findall(said)[-8:])
            if code:
                raise SetupError(
                    f"apt-get {words[0]} failed with {code} (the log: {log}); it said:\n"
                    + (complaints or f"    {said[-500:]}").rstrip()
                )
    say(f"apt is through after {clock() - began:.0f} s")


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Keep packages from starting their services; an administrator's own policy stays."""
    ours = not POLICY.exists() or POLICY.read_text() == _REFUSE
    if ours:
        POLICY.write_text(_REFUSE)
        POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            POLICY.unlink(missing_ok=True)
