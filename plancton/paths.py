"""Where Plancton keeps its things, for root and for everybody else."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Paths:
    """The directories of one daemon, as in 2017.

    Root: ``/var/log/plancton``, ``/var/run/plancton``, ``/etc/plancton``.
    Others, and root with ``--user``: ``~/.plancton/{log,run,conf}``.
    """

    logdir: Path
    rundir: Path
    confdir: Path
    pidfile: Path

    @classmethod
    def choose(
        cls,
        *,
        user: bool = False,
        logdir: str | None = None,
        rundir: str | None = None,
        confdir: str | None = None,
        pidfile: str | None = None,
    ) -> Paths:
        """The defaults for this user, each replaced by what is given."""
        if user or os.geteuid() != 0:
            home = Path("~/.plancton").expanduser()
            log, run, conf = home / "log", home / "run", home / "conf"
            pid = home / "plancton.pid"
        else:
            log, run = Path("/var/log/plancton"), Path("/var/run/plancton")
            conf, pid = Path("/etc/plancton"), Path("/var/run/plancton.pid")
        if rundir:
            # Two daemons with a run directory each must not share one pid file.
            run = Path(rundir).absolute()
            pid = run / "plancton.pid"
        return cls(
            logdir=Path(logdir).absolute() if logdir else log,
            rundir=run,
            confdir=Path(confdir).absolute() if confdir else conf,
            pidfile=Path(pidfile).absolute() if pidfile else pid,
        )

    @property
    def config(self) -> Path:
        return self.confdir / "config.yaml"

    @property
    def status(self) -> Path:
        return self.rundir / "status.json"

    @property
    def log(self) -> Path:
        return self.logdir / "plancton.log"
