"""Whether and where a schedd sends its figures is told at its start, as mistakes are."""

from __future__ import annotations

import argparse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.schedd_parts import Clock
from tests.support.services.rabbitmq import free_port
from thyme.errors import BadInvocation
from vobox.ledger.writer import Ledger
from vobox.metrics.sender import Metrics
from vobox.schedd.main_loop import Schedd
from vobox.schedd.state import Settings
from vobox.server import cli, metrics_setup


class Start:
    """A schedd that is about to start."""

    def __init__(self, directory: Path) -> None:
        self.ledger = Ledger(directory / "ledger.db")
        self.schedd = Schedd(Settings("s"), lambda: None, self.ledger, Clock())  # type: ignore[arg-type, return-value]
        self.directory = directory

    def options(self, *words: str) -> argparse.Namespace:
        return cli.parser().parse_args(["--spool", str(self.directory), *words])

    def begin(self, *words: str, **environ: str) -> Metrics | None:
        return metrics_setup.start_metrics(
            self.options(*words), environ, self.schedd, self.ledger.path
        )


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    made = Start(tmp_path)
    yield made
    made.ledger.close()


def test_nothing_is_sent_unless_asked_for(start: Start) -> None:
    assert start.begin() is None


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--influxdb-url", "http://u:geheim@influx#db"], "a password would be seen in ps"),
        (["--influxdb-url", "http://influx"], "metrics: the URL of the InfluxDB at influx names"),
        (["--prometheus", "here"], "--prometheus: write ADDRESS:PORT"),
    ],
)
def test_a_mistake_is_told_in_one_line(start: Start, words: list[str], what: str) -> None:
    with pytest.raises(BadInvocation, match=what) as caught:
        start.begin(*words)
    assert "geheim" not in str(caught.value)


def test_the_environment_names_targets_and_may_hold_a_password(start: Start) -> None:
    made = start.begin(THYME_INFLUXDB_URL="http://u:p@127.0.0.1:1#a http://127.0.0.1:1#b")
    assert made is not None
    try:
        assert [state.name for state in made.reporter.states()] == [
            "127.0.0.1:1#a",
            "127.0.0.1:1#b",
        ]
    finally:
        made.close()


def test_prometheus_sees_the_schedd(start: Start) -> None:
    address = f"127.0.0.1:{free_port()}"
    made = start.begin("--prometheus", address, "--site", "here")
    assert made is not None
    try:
        made.round()
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=20) as answer:
            text = answer.read().decode()
    finally:
        made.close()
    assert 'thyme_schedd_broker_ok{schedd="s",site="here"} 0.0' in text
    assert 'thyme_jobs{pool="alien_jobs",schedd="s",site="here",state="idle"} 0.0' in text
