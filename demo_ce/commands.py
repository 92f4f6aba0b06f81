"""Run shell commands as the CEs do: through the shell, and for 60 s at most."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress

from .counting import CommandResult, Query

#: Seconds until a command is killed with SIGKILL, as in AliEn and JAliEn.
TIMEOUT = 60.0


class CondorCommands:
    """Runs the condor commands on PATH in one environment."""

    def __init__(self, environment: Mapping[str, str], alarm: float = TIMEOUT) -> None:
        self._environment = dict(environment)
        self._alarm = alarm

    def ask(self, query: Query) -> CommandResult:
        """Run the command of a query and return its output and exit code."""
        return self.run(query.command, merge_stderr=query.merge_stderr)

    def run(self, command: str, stdin: str = "", merge_stderr: bool = False) -> CommandResult:
        """Run a command and return the lines of its output and its exit code.

        ``command``: for the shell; ``merge_stderr``: its stderr is part of the output.
        """
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"( {command} )"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge_stderr else None,
            env=self._environment,
            text=True,
            errors="replace",
            # Its own process group, so that the command is killed together with the shell.
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(stdin, timeout=self._alarm)
        except subprocess.TimeoutExpired:
            _kill_group(process)
            return CommandResult([], None)
        except BaseException:
            _kill_group(process)
            raise
        return CommandResult(output.splitlines(keepends=True), process.returncode)


def _kill_group(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
