"""Install what the tests need and this machine lacks, once and before them (`make setup`)."""

import contextlib
import io
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import NoReturn

from tests.setup import debian
from tests.setup.downloads import DOWNLOADS
from tests.setup.plan import Machine, Plan, decide
from tests.setup.services import PACKAGES, SERVICES, which
from tests.setup.steps import SetupError, alone, describe, say


def look() -> Machine:
    """Return what this machine has."""
    programs = {program for group in PACKAGES.values() for program in group}
    return Machine(
        programs={program for program in programs if which(program)},
        downloads={name for name, one in DOWNLOADS.items() if one.there()},
        root=os.geteuid() == 0,
        apt=which("apt-get") is not None,
    )


def carry_out(plan: Plan) -> None:
    """Install and download, side by side what can be; raises SetupError when something failed."""
    with ThreadPoolExecutor() as pool:
        # pip's need nothing of apt's
        first = [one for one in plan.download if not (plan.install and DOWNLOADS[one].after_apt)]
        running = [pool.submit(_fetch, name) for name in first]
        try:
            if plan.install:
                debian.install(plan.install)
                if still := decide(SERVICES, look()).install:
                    raise SetupError(f"apt installed {' '.join(still)}, but not their programs")
            running += [pool.submit(_fetch, name) for name in plan.download if name not in first]
        finally:
            wait(running)
    for one in running:
        one.result()


def _fetch(name: str) -> None:
    say(f"fetching {DOWNLOADS[name].title} ({DOWNLOADS[name].size})")
    DOWNLOADS[name].fetch()


def tell_skipped(plan: Plan, selection: Sequence[str]) -> None:
    """Count the tests that cannot run here, and say what would let them.

    Args:
        plan: what is missing.
        selection: pytest's options that choose the tests.
    """
    import pytest

    from tests.setup.needs import SkipCounter

    counter = SkipCounter(plan.without, plan.for_root, os.geteuid() == 0)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", *selection], [counter])
    say(f"{counter.skipped} of {counter.total} tests will be skipped:")
    if counter.need_root:
        say(f"  {counter.need_root} need root: run make test as root")
    if plan.missing:
        counts = ", ".join(f"{SERVICES[one].title} {n}" for one, n in counter.lacking.most_common())
        say(f"  missing: {' '.join(plan.missing)} ({counts or 'no test'})")
        say(f"  on Debian: sudo apt-get install --no-install-recommends {' '.join(plan.missing)}")


def _end(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)


def main() -> int:
    """Return 0, or 1 when something could not be had."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    selection = ["-m", "not long", *shlex.split(os.environ.get("PYTEST_ARGS", ""))]
    try:
        with alone():
            plan = decide(SERVICES, look())
            carry_out(plan)
    except SetupError as error:
        say(f"{error}")
        say("nothing was tested; `make test SETUP=no` runs what can run without it")
        return 1
    except OSError as error:
        say(describe(error))
        return 1
    if plan.missing or plan.for_root:
        tell_skipped(plan, selection)
    return 0


if __name__ == "__main__":
    sys.exit(main())
