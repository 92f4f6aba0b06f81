"""Start Plancton when the node boots: by a systemd unit, or by cron where there is no systemd."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from plancton.errors import PlanctonError

UNIT = "plancton.service"
#: Marks our line among the user's own.
_MARK = "# plancton-bootstrap"

_UNIT_TEXT = """\
# Written by plancton-bootstrap.
[Unit]
Description=Plancton: pilots on the idle CPUs of this node
Wants=network-online.target
After=network-online.target docker.service podman.socket

[Service]
Type=notify
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
# Pilots outlive the daemon: the next one adopts them.
KillMode=process
# Also when the configuration's server is not there yet.
Restart=on-failure
RestartSec=10
TimeoutStartSec=120
RuntimeDirectory=plancton
RuntimeDirectoryPreserve=yes

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class Machine:
    """The paths of the machine that a start at boot needs."""

    #: there while systemd runs (sd_booted(3))
    systemd: Path = Path("/run/systemd/system")
    units: Path = Path("/etc/systemd/system")


@dataclass(frozen=True)
class BootStart:
    """How Plancton is started at boot; ``places`` are options such as ``--confdir``."""

    machine: Machine
    user: bool
    places: tuple[str, ...] = ()

    @property
    def by_systemd(self) -> bool:
        """Whether a systemd unit is written; else a line for cron."""
        return not self.user and self.machine.systemd.is_dir()

    def plan(self) -> list[str]:
        """Return what ``install`` would do, one line each."""
        if self.by_systemd:
            return [
                f"write {self.machine.units / UNIT}",
                f"run systemctl daemon-reload and systemctl enable {UNIT}",
            ]
        return [f"put this line into your crontab: {self._cron_line()}"]

    def install(self) -> list[str]:
        """Do it; what was done, one line each.  Raises PlanctonError."""
        return self._with_systemd() if self.by_systemd else self._with_cron()

    def now(self) -> str:
        """Return the command that starts Plancton before the next boot."""
        return f"systemctl start {UNIT}" if self.by_systemd else self._command("start")

    def _with_systemd(self) -> list[str]:
        unit = self.machine.units / UNIT
        # to systemd % begins a specifier, and $ a variable
        command = self._command("nodaemon").replace("%", "%%").replace("$", "$$")
        try:
            unit.parent.mkdir(parents=True, exist_ok=True)
            unit.write_text(_UNIT_TEXT.format(command=command), encoding="utf-8")
        except OSError as error:
            raise PlanctonError(f"{unit}: cannot be written: {error.strerror}") from error
        _run(["systemctl", "daemon-reload"])
        _run(["systemctl", "enable", "--quiet", UNIT])
        return [f"wrote {unit}", f"enabled {UNIT}: it starts at boot"]

    def _with_cron(self) -> list[str]:
        before = _run(["crontab", "-l"], may_fail=True)
        kept = [line for line in before.splitlines() if not line.endswith(_MARK)]
        line = self._cron_line()
        _run(["crontab", "-"], text="\n".join([*kept, line]) + "\n")
        return [f"put this line into the crontab: {line}"]

    def _cron_line(self) -> str:
        # In a crontab an unescaped % is a line break.
        return f"@reboot {self._command('start')} {_MARK}".replace("%", r"\%")

    def _command(self, command: str) -> str:
        program = Path(sys.executable).with_name("planctonctl")
        words = [str(program)] if program.exists() else [sys.executable, "-m", "plancton"]
        return shlex.join([*words, *self.places, command])


def _run(command: Sequence[str], text: str | None = None, *, may_fail: bool = False) -> str:
    """Run a command and return what it prints.  Raises PlanctonError."""
    try:
        done = subprocess.run(
            command,
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            # `crontab -l` says "no crontab for ..." in the language of the user.
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        raise PlanctonError(
            f"{command[0]} is not installed, so nothing starts Plancton at boot; "
            "install cron, or have your own init system do it"
        ) from None
    if done.returncode and not may_fail:
        lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        raise PlanctonError(f"{shlex.join(command)}: {lines[-1]}")
    if done.returncode and "no crontab" not in done.stderr:
        # Writing a new one would throw away what could not be read.
        raise PlanctonError(f"{shlex.join(command)}: {done.stderr.strip() or 'failed'}")
    return done.stdout
