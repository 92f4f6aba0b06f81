"""Where Plancton's files are, for root and for other users."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

#: ``insecure_https``: HTTPS that believes any certificate, as in 2017.
SCHEMES = ("http", "https", "insecure_https")


_PASSWORD = re.compile(r"\A(\w+://[^/?#:@]*:)[^/?#]*@")
#: Where no port follows the colon: one with a / ? or # that is not written as %XX.
_WRONG_PASSWORD = re.compile(r"\A(\w+://[^/?#:@[]*:)(?![0-9]*([/?#]|\Z)).*@")


def is_url(text: str) -> bool:
    """Tell whether ``text`` is a URL, if maybe one of a wrong scheme, and not a path."""
    return "://" in text


def hide_password(url: str) -> str:
    """Return the URL without its password, for logs and for people."""
    # not urlsplit: to it a scheme with "_" is none
    hidden, found = _PASSWORD.subn(r"\1***@", url, count=1)
    return hidden if found else _WRONG_PASSWORD.sub(r"\1***@", url, count=1)


@dataclass(frozen=True)
class Paths:
    """The files and directories of one daemon, as in 2017.

    Root: ``/var/log/plancton``, ``/var/run/plancton``, ``/etc/plancton``, and
    ``/var/lib/plancton`` for what must survive a restart of the node.
    Others, and root with ``--user``: ``~/.plancton/{log,run,conf,state}``.
    """

    logdir: Path
    rundir: Path
    confdir: Path
    pidfile: Path
    statedir: Path
    #: where the configuration comes from instead of ``confdir``; "" if from there
    config_url: str = ""

    @classmethod
    def choose(
        cls,
        *,
        user: bool = False,
        logdir: str | None = None,
        rundir: str | None = None,
        confdir: str | None = None,
        pidfile: str | None = None,
        config_url: str = "",
    ) -> Paths:
        """Return the defaults for this user, each replaced by what is given.

        ``confdir`` may be the URL of a configuration; ``config_url`` (of the environment)
        counts where no ``confdir`` is given.
        """
        if user or os.geteuid() != 0:
            home = Path("~/.plancton").expanduser()
            log, run, conf = home / "log", home / "run", home / "conf"
            pid, state = run / "plancton.pid", home / "state"
        else:
            log, run = Path("/var/log/plancton"), Path("/var/run/plancton")
            conf, pid = Path("/etc/plancton"), Path("/var/run/plancton.pid")
            state = Path("/var/lib/plancton")
        if rundir:
            # Two daemons with a run directory each must not share one pid file.
            run = Path(rundir).absolute()
            pid, state = run / "plancton.pid", run / "state"
        if confdir and is_url(confdir):
            config_url, confdir = confdir, None
        elif confdir:
            config_url = ""
        return cls(
            logdir=Path(logdir).absolute() if logdir else log,
            rundir=run,
            confdir=Path(confdir).absolute() if confdir else conf,
            pidfile=Path(pidfile).absolute() if pidfile else pid,
            statedir=state,
            config_url=config_url,
        )

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.confdir / "config.yaml"

    @property
    def config_name(self) -> str:
        """Where the configuration is, for people."""
        return hide_password(self.config_url) if self.config_url else str(self.config)

    @property
    def kept_config(self) -> Path:
        """The last good configuration that ``config_url`` gave."""
        return self.statedir / "config-from-url.json"

    @property
    def day(self) -> Path:
        """The node's last day, a row a minute."""
        return self.statedir / "day.ring"

    @property
    def idle_periods(self) -> Path:
        """How long the node's idle periods lasted."""
        return self.statedir / "idle-periods.json"

    @property
    def history(self) -> Path:
        """What the back-offs have learned."""
        return self.rundir / "history.json"

    @property
    def status(self) -> Path:
        """The status document."""
        return self.rundir / "status.json"

    @property
    def pilot_outputs(self) -> Path:
        """The directory with the end of what the last pilots printed."""
        return self.logdir / "pilots"

    @property
    def log(self) -> Path:
        """The daemon's log file."""
        return self.logdir / "plancton.log"
