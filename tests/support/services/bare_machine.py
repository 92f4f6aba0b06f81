"""A machine that has nothing: Debian's minimal system and what the README names, on this kernel.

Of the machine below it sees the network and how to reach the package indexes, and nothing else: its
files, processes and mounts are its own. All that runs in it ends with the command that started it.
"""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from tests.setup.steps import ROOT
from tests.support.services.image_builds import debian_base
from tests.support.services.programs import unmount_all_in

#: Where the authorities that this machine trusts lie in it.
_AUTHORITIES = Path("/etc/plancton-test-authorities.pem")
_TRUSTED = Path("/etc/ssl/certs/ca-certificates.crt")
#: Mounts its own /proc, /sys, /dev and /run, makes the directory the root, runs the command.
_ENTER = """\
set -e
mount --make-rprivate /
mount --bind "$0" "$0"
cd "$0"
mkdir -p proc sys dev run old
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs -o mode=755 tmpfs run
mkdir -p run/lock
pivot_root . old
umount -l /old
cd /
"$@" || exit $?
"""
_VARIABLES = re.compile(r"(?i)^(https?_proxy|no_proxy|PIP_INDEX_URL|PIP_TRUSTED_HOST|DEBIAN_URL)$")


class BareMachine:
    """One machine, in ``directory``; ``began`` is when it was made, on the monotonic clock."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "root"
        self.began = time.monotonic()
        self.root.mkdir()
        subprocess.run(
            ["tar", "--numeric-owner", "-C", self.root, "-xf", debian_base()],
            check=True, capture_output=True,
        )  # fmt: skip
        shutil.copy("/etc/resolv.conf", self.root / "etc/resolv.conf")
        shutil.copy("/etc/hosts", self.root / "etc/hosts")
        self._environment = self._reach_indexes()

    def _reach_indexes(self) -> dict[str, str]:
        """Take over how this machine reaches its package indexes; the variables that say so."""
        found = {name: text for name, text in os.environ.items() if _VARIABLES.match(name)}
        for option in ("index-url", "trusted-host"):
            done = subprocess.run(
                ["python3", "-m", "pip", "config", "get", f"global.{option}"],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode == 0:
                found.setdefault("PIP_" + option.replace("-", "_").upper(), done.stdout.strip())
        if registry := _npm_registry():
            found["npm_config_registry"] = registry
        proxies = subprocess.run(
            ["apt-config", "dump", "--format", '%f "%v";%n'], capture_output=True, text=True
        ).stdout
        wanted = [one for one in proxies.splitlines() if re.match(r"Acquire::https?::Proxy", one)]
        (self.root / "etc/apt/apt.conf.d/90proxy").write_text("\n".join(wanted) + "\n")
        if _TRUSTED.exists():
            there = self.root / _AUTHORITIES.relative_to("/")
            shutil.copy(_TRUSTED, there)
            for name in ("PIP_CERT", "NODE_EXTRA_CA_CERTS", "npm_config_cafile"):
                found[name] = str(_AUTHORITIES)
        return found

    def run(
        self, command: str, *, user: str = "root", cwd: str = "/", timeout: float, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell's command line to its end; stdout and stderr together, as they came."""
        home = "/root" if user == "root" else f"/home/{user}"
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": home, "USER": user, "LOGNAME": user, **self._environment, **variables,
        }  # fmt: skip
        become = [] if user == "root" else ["setpriv", f"--reuid={user}", f"--regid={user}",
                                            "--init-groups"]  # fmt: skip
        return subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc",
             "sh", "-c", _ENTER, self.root, *become, "sh", "-c", 'cd "$0" && eval "$1"', cwd,
             command],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", timeout=timeout, check=False,
        )  # fmt: skip

    def got(self, command: str, **options: object) -> str:
        """Run a command that has to succeed; what it printed."""
        done = self.run(command, **options)  # type: ignore[arg-type]
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout[-8000:]}"
        return done.stdout

    def add_user(self, name: str) -> None:
        """Add an ordinary user with a home directory."""
        self.got(f"useradd --create-home --shell /bin/bash {name}", timeout=60)

    def clone(self, place: str, user: str) -> None:
        """Clone this tree as it is, with what is not committed yet, for a user."""
        target = self.root / place.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        _git("clone", "--quiet", "--depth", "1", f"file://{ROOT}", str(target))
        for name in _git("diff", "--name-only", "-z", "--diff-filter=D", "HEAD").split("\0"):
            (target / name).unlink(missing_ok=True) if name else None
        changed = _git("diff", "--name-only", "-z", "--diff-filter=d", "HEAD").split("\0")
        changed += _git("ls-files", "-z", "--others", "--exclude-standard").split("\0")
        for name in filter(None, changed):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
        if user != "root":
            self.got(f"chown -R {user}: '{Path(place).parent}'", timeout=60)

    def remove(self) -> None:
        unmount_all_in(self.root)
        shutil.rmtree(self.root, ignore_errors=True)


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", *words], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def _npm_registry() -> str:
    if (npm := shutil.which("npm")) is None:
        return ""
    done = subprocess.run(
        [npm, "config", "get", "registry"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()
