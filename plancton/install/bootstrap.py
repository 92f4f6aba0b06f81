"""Fetch a node's configuration from a git repository, check it, install it, start it at boot.

Done again, it takes over what the repository has now, unless somebody changed the
configuration on the node.
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

from commandline.parser import Parser, add_version, describe_missing_library
from plancton.errors import BadUsage, ConfigError, ExitCode, PlanctonError
from plancton.paths import Paths

from .boot_unit import BootStart, Machine

_SHORT = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+?)(:(?P<branch>[\w./-]+))?\Z", re.ASCII)


class GitSource(NamedTuple):
    """A git repository with a configuration."""

    url: str
    branch: str | None

    @classmethod
    def parse(cls, text: str) -> GitSource:
        """Return the repository of ``text``.

        ``text`` is ``user/repo[:branch]`` on GitHub (as in 2017), or any URL or directory that git
        can clone.
        """
        short = _SHORT.match(text)
        if short and not text.startswith(("/", ".")):
            return cls(f"https://github.com/{short['repo']}", short["branch"])
        if "://" in text or text.startswith(("/", "git@")):
            return cls(text, None)
        raise BadUsage(f"{text!r} is neither user/repo[:branch] nor a git URL")


def make_parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser(prog="plancton-bootstrap", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("source", nargs="?", help="user/repo[:branch] on GitHub, or a git URL")
    parser.add_argument("--branch", help="branch of a git URL")
    parser.add_argument("--dryrun", action="store_true", help="say what would be done")
    parser.add_argument("--user", action="store_true", help="use ~/.plancton, also as root")
    parser.add_argument("--confdir", metavar="D", help="install here (/etc/plancton)")
    add_version(parser)
    return parser


def main(argv: Sequence[str] | None = None, machine: Machine | None = None) -> int:
    """Run ``plancton-bootstrap``; return its exit code (``errors.ExitCode``)."""
    arguments = make_parser().parse_args(argv)
    try:
        if arguments.source is None and not arguments.dryrun:
            raise BadUsage("name a configuration: user/repo[:branch] or a git URL")
        source = GitSource.parse(arguments.source) if arguments.source else None
        if source and arguments.branch:
            source = source._replace(branch=arguments.branch)
        paths = Paths.choose(user=arguments.user, confdir=arguments.confdir)
        start = _start(arguments, machine or Machine())
        if arguments.dryrun or source is None:
            for line in _plan(source, paths.confdir, start):
                print(f"would {line}")
        else:
            _install(source, paths.confdir)
            for line in start.install():
                print(line)
            print(f"start it now with: {start.now()}")
    except ModuleNotFoundError as error:
        print(f"plancton-bootstrap: {describe_missing_library(error, 'node')}", file=sys.stderr)
        return ExitCode.FAILED
    except PlanctonError as error:
        for line in str(error).splitlines():
            print(f"plancton-bootstrap: {line}", file=sys.stderr)
        return error.exit_code
    return ExitCode.OK


def _start(arguments: argparse.Namespace, machine: Machine) -> BootStart:
    places = ["--user"] if arguments.user else []
    if arguments.confdir:
        places += ["--confdir", str(Path(arguments.confdir).absolute())]
    return BootStart(machine, arguments.user or os.geteuid() != 0, tuple(places))


def _plan(source: GitSource | None, confdir: Path, start: BootStart) -> list[str]:
    what = "the repository that you name (user/repo[:branch] or a git URL)"
    if source is not None:
        what = source.url + (f" (branch {source.branch})" if source.branch else "")
    return [
        f"clone {what}",
        "check its config.yaml, and stop there if it is wrong",
        f"install it as {confdir}",
        *start.plan(),
    ]


def _install(source: GitSource, confdir: Path) -> None:
    from plancton import preflight  # late: --help needs no library
    from plancton.node.sensors import ProcSensors

    try:
        occupied = (confdir.exists() or confdir.is_symlink()) and any(confdir.iterdir())
    except OSError as error:
        raise PlanctonError(f"{confdir}: cannot be used: {error.strerror}") from error
    if occupied and not _is_clean_clone(confdir, source):
        raise PlanctonError(
            f"{confdir}: holds another configuration, or one that was changed here; "
            "move it away first"
        )
    try:
        confdir.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        # Beside its destination, so that the last step is one rename.
        work = Path(tempfile.mkdtemp(prefix=".plancton-", dir=confdir.parent))
    except OSError as error:
        raise PlanctonError(f"{confdir.parent}: cannot be written: {error.strerror}") from error
    try:
        clone = work / "clone"
        _clone(source, clone)
        try:
            preflight.load_config(clone / "config.yaml", ProcSensors().read_facts())
        except ConfigError as error:  # the clone is gone when somebody reads this
            told = (each.replace(f"{clone}/", "the repository's ") for each in error.problems)
            raise ConfigError(*told) from None
        if confdir.exists():
            confdir.rename(work / "before")
        clone.chmod(0o750)  # a configuration may hold passwords, in its `environment`
        clone.rename(confdir)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"installed {confdir}{' again' if occupied else ''} from {source.url}")


def _is_clean_clone(confdir: Path, source: GitSource) -> bool:
    """Tell whether ``confdir`` was cloned from ``source`` and not changed since."""
    if not (confdir / ".git").is_dir():
        return False
    answers = []
    for words in (["remote", "get-url", "origin"], ["status", "--porcelain"]):
        done = subprocess.run(["git", "-C", str(confdir), *words], capture_output=True, text=True)
        if done.returncode:
            return False
        answers.append(done.stdout.strip())
    return answers == [source.url, ""]


def _clone(source: GitSource, where: Path) -> None:
    # Never ask for a password: this runs on many nodes at once, without a person.
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
