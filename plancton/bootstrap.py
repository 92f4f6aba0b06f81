"""``plancton-bootstrap``: fetch a node's configuration from a git repository, check it, install it.

What it does not do yet is make the node start Plancton at boot; it says so.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from plancton import config_file
from plancton.errors import BadUsage, ExitCode, PlanctonError
from plancton.host import ProcSensors
from plancton.paths import Paths

_SHORT = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+?)(:(?P<branch>[\w./-]+))?\Z", re.ASCII)


class Source(NamedTuple):
    url: str
    branch: str | None

    @classmethod
    def parse(cls, text: str) -> Source:
        """``user/repo[:branch]`` on GitHub (as in 2017), or any URL or directory git can clone."""
        short = _SHORT.match(text)
        if short and not text.startswith(("/", ".")):
            return cls(f"https://github.com/{short['repo']}", short["branch"])
        if "://" in text or text.startswith(("/", "git@")):
            return cls(text, None)
        raise BadUsage(f"{text!r} is neither user/repo[:branch] nor a git URL")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes as ``planctonctl`` (``errors.ExitCode``)."""
    parser = argparse.ArgumentParser(prog="plancton-bootstrap", description=__doc__)
    parser.add_argument("source", nargs="?", help="user/repo[:branch] on GitHub, or a git URL")
    parser.add_argument("--branch", help="branch of a git URL")
    parser.add_argument("--dryrun", action="store_true", help="say what would be done")
    parser.add_argument("--user", action="store_true", help="use ~/.plancton, also as root")
    parser.add_argument("--confdir", metavar="D", help="install here (/etc/plancton)")
    arguments = parser.parse_args(argv)
    try:
        if arguments.source is None:
            raise BadUsage("name a configuration: user/repo[:branch] or a git URL")
        source = Source.parse(arguments.source)
        source = source._replace(branch=arguments.branch or source.branch)
        paths = Paths.choose(user=arguments.user, confdir=arguments.confdir)
        if arguments.dryrun:
            for line in _plan(source, paths.confdir):
                print(line)
        else:
            _install(source, paths.confdir)
    except PlanctonError as error:
        for line in str(error).splitlines():
            print(f"plancton-bootstrap: {line}", file=sys.stderr)
        return error.exit_code
    return ExitCode.OK


def _plan(source: Source, confdir: Path) -> list[str]:
    branch = f" (branch {source.branch})" if source.branch else ""
    return [
        f"would clone {source.url}{branch}",
        "would check its config.yaml, and stop there if it is wrong",
        f"would install it as {confdir}",
        "would not make the node start Plancton at boot: this version cannot do that yet",
    ]


def _install(source: Source, confdir: Path) -> None:
    if confdir.exists() and any(confdir.iterdir()):
        raise PlanctonError(f"{confdir}: holds a configuration already; move it away first")
    try:
        confdir.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        # Beside its destination, so that the last step is one rename.
        work = Path(tempfile.mkdtemp(prefix=".plancton-", dir=confdir.parent))
    except OSError as error:
        raise PlanctonError(f"{confdir.parent}: cannot be written: {error.strerror}") from error
    try:
        clone = work / "clone"
        _clone(source, clone)
        config_file.load(clone / "config.yaml", ProcSensors().facts())
        if confdir.exists():
            confdir.rmdir()
        clone.rename(confdir)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"installed {confdir}; start it with: planctonctl start")
    print("It does not start at boot: this version cannot set that up yet.")


def _clone(source: Source, where: Path) -> None:
    # Never ask for a password: this runs on many nodes at once, with nobody there.
    command = ["git", "-c", "core.askpass=true", "clone", "--quiet", "--depth", "1"]
    if source.branch:
        command += ["--branch", source.branch]
    command += ["--", source.url, str(where)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
        )
    except FileNotFoundError:
        raise PlanctonError("git is not installed") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"git ended with {done.returncode}"]
        raise PlanctonError(f"{source.url}: cannot be cloned: {lines[-1]}")


if __name__ == "__main__":
    raise SystemExit(main())
