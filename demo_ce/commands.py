"""Runs a CE's shell commands the way the CEs do: through the shell, and for 60 s at most."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress

from .counting import Answer, Query

#: Seconds; AliEn's alarm and JAliEn's limit. Then the command is killed with -9.
ALARM = 60.0


class Commands:
    """condor commands on PATH, in one environment."""

    def __init__(self, environment: Mapping[str, str], alarm: float = ALARM) -> None:
        self._environment = dict(environment)
        self._alarm = alarm

    def ask(self, query: Query) -> Answer:
        return self.run(query.command, merge_stderr=query.merge_stderr)

    def run(self, command: str, stdin: str = "", merge_stderr: bool = False) -> Answer:
        """stdout's lines and the exit code; None for the code when the time was over."""
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"( {command} )"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge_stderr else None,
            env=self._environment,
            text=True,
            errors="replace",
            # A group of its own: the alarm has to reach the command behind the shell.
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(stdin, timeout=self._alarm)
        except subprocess.TimeoutExpired:
            _kill_group(process)
            return Answer([], None)
        except BaseException:
            _kill_group(process)
            raise
        return Answer(output.splitlines(keepends=True), process.returncode)


def _kill_group(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
