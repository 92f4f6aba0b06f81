"""A log file for every failed test, and the list of them at the end of the run."""

import re
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

#: Emptied when a run begins.
PLACE = Path(__file__).parents[2] / "build" / "failed-tests"


def log_of(nodeid: str) -> Path:
    """Name the log file of a test; parameters are shortened, as file names have an end."""
    file, _, test = nodeid.partition("::")
    return PLACE / file / (re.sub(r"[^\w.=-]+", "_", test)[:120] + ".log")


class FailureLogs:
    """The plugin, of the process that prints the results."""

    def __init__(self) -> None:
        self._logs: dict[str, Path] = {}

    def pytest_sessionstart(self) -> None:
        shutil.rmtree(PLACE, ignore_errors=True)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.failed:
            return
        log = self._logs[report.nodeid] = log_of(report.nodeid)
        parts = [f"{report.nodeid}, {report.when}\n\n{report.longreprtext}\n"]
        parts += [f"\n--- {title} ---\n{text}\n" for title, text in report.sections]
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            with open(log, "a", encoding="utf-8", errors="replace") as file:
                file.writelines(parts)
        except OSError:
            pass  # a full disk is no reason to lose the results

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> Generator[None, None, None]:
        yield
        if self._logs:
            terminalreporter.section("failed tests and their logs")
        for nodeid, log in self._logs.items():
            terminalreporter.write_line(f"{nodeid}\n    {log}")


def register(config: pytest.Config) -> None:
    """Add the plugin, unless this process only runs tests for another one."""
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        config.pluginmanager.register(FailureLogs(), "failure-logs")
