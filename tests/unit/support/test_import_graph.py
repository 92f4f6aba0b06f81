"""The import graph is built from the sources, as worked out by hand here."""

import pytest

from tests.support.import_graph import build_graph, main

SOURCES = {
    "thyme/__init__.py": "",
    "thyme/errors.py": "import os\n",
    "thyme/broker/__init__.py": "from .base import Transport\n",
    "thyme/broker/base.py": "from thyme.errors import BrokerError\n",
    "thyme/worker/cli.py": "from ..broker import connect\nimport thyme.errors\n",
    "vobox/client.py": "import thyme.worker.cli\n",
}


def test_layers_and_arrows_are_those_of_the_imports() -> None:
    graph = build_graph(SOURCES, "thyme")
    assert graph.layers == {"errors": 0, "broker": 1, "worker": 2}
    assert graph.arrows == {("broker", "errors"), ("worker", "broker"), ("worker", "errors")}
    assert graph.back_up == set()


def test_packages_are_the_nodes_of_the_whole() -> None:
    graph = build_graph(SOURCES)
    assert graph.layers == {"thyme": 0, "vobox": 1}
    assert graph.arrows == {("vobox", "thyme")}


def test_an_import_that_closes_a_cycle_goes_back_up() -> None:
    broken = {**SOURCES, "thyme/errors.py": "import thyme.worker.cli\n"}
    graph = build_graph(broken, "thyme")
    assert graph.back_up == {("errors", "worker")}
    assert graph.layers == {"errors": 0, "broker": 1, "worker": 2}
    assert graph.summary() == "3 nodes, 3 layers, 4 arrows, 1 of them back up"


def test_the_command_prints_the_graph_of_this_tree(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["thyme"]) == 0
    assert capsys.readouterr().out.startswith("thyme: ")
