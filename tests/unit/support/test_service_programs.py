"""Processes of services: those of one are killed and not those of others; one is stopped."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.services.programs import end_all_with, stop_process
from tests.support.waiting import wait_until

_SLEEPS = "import sys, time; time.sleep(600)"


@pytest.mark.parametrize("argument", ["{0}", "{0}/data", "-config {0}/a.conf", '["{0}"]'])
def test_only_processes_of_the_directory_are_killed(tmp_path: Path, argument: str) -> None:
    second, twentieth = tmp_path / "influxdb1", tmp_path / "influxdb19"
    mine, other = (
        subprocess.Popen([sys.executable, "-c", _SLEEPS, argument.format(directory)])
        for directory in (second, twentieth)
    )
    try:
        for process in (mine, other):  # for an instant a new program's command line is empty
            line = Path(f"/proc/{process.pid}/cmdline")
            wait_until(lambda line=line: b"influxdb1" in line.read_bytes(), "its command line")
        end_all_with(second)
        assert mine.wait(30) == -9
        assert other.poll() is None
    finally:
        for process in (mine, other):
            process.kill()
            process.wait()


def test_a_process_that_has_ended_is_not_waited_for_to_stop() -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        stop_process(process.pid)
        os.kill(process.pid, signal.SIGCONT)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now
        with pytest.raises(ProcessLookupError, match="has ended"):
            stop_process(process.pid)
