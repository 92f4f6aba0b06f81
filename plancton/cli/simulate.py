"""``planctonctl simulate``: show what the configuration would have finished on owners' traces."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from plancton import preflight
from plancton.errors import ExitCode, PlanctonError
from plancton.node.sensors import ProcSensors
from plancton.paths import Paths
from plancton.simulation import owner, queue, report
from plancton.simulation.compare import CONFIGURED, Comparison, compare
from plancton.simulation.node import NodeSetup


def simulate(paths: Paths, arguments: argparse.Namespace) -> int:
    """Simulate the traces and print what became of the time that the owners left."""
    facts = ProcSensors().read_facts()
    if arguments.ncpus:
        facts = replace(facts, ncpus=arguments.ncpus)
    if arguments.ram:
        facts = replace(facts, ram_bytes=arguments.ram)
    path = Path(arguments.config) if arguments.config else paths.config
    config = preflight.load_config(path, facts, may_be_pipe=bool(arguments.config))
    lengths = queue.read_lengths(arguments.jobs) if arguments.jobs else queue.draw_endless
    parse = (
        owner.parse_shares(arguments.step, facts)
        if arguments.owner == "cpu"
        else owner.parse_intervals(facts)
    )
    trace = Path(arguments.trace)
    nodes = [spans for spans in islice(owner.read_trace(trace, parse), arguments.nodes) if spans]
    if not nodes:
        raise PlanctonError(f"{trace}: holds no line of a node")
    setup = NodeSetup(
        config=config,
        facts=facts,
        queue=queue.JobQueue(
            lengths, arguments.waiting, queue.CLAIMS[arguments.claim], arguments.seed
        ),
        protected=arguments.cpu_idle,
        job_memory=arguments.job_memory or config.max_dock_mem,
    )
    # On stderr, and only where that is a terminal.
    shown = track(nodes, "nodes", console=Console(stderr=True), transient=True)
    found = compare(shown, setup)
    if arguments.json:
        results = {
            name.replace(" ", "_"): {**asdict(one), "thrown": one.thrown}
            for name, one in found.results.items()
        }
        print(json.dumps(results, indent=2))
    else:
        _print_table(found, facts.ncpus)
    # After what took minutes is printed: the page may be impossible to write.
    if arguments.html:
        _write_page(arguments, found, facts.ncpus)
    return ExitCode.OK


def _print_table(found: Comparison, ncpus: int) -> None:
    print(report.summarize(found.results[CONFIGURED], ncpus))
    table = Table("share of the idle CPU time", box=box.SIMPLE_HEAD)
    for name in found.results:
        table.add_column(name, justify="right")
    for row in report.list_rows(found.results):
        table.add_row(*row)
    # a terminal's own width, and one for all in a pipe
    Console(width=None if sys.stdout.isatty() else 100, color_system=None).print(table)


def _write_page(arguments: argparse.Namespace, found: Comparison, ncpus: int) -> None:
    page = report.render_page(Path(arguments.trace).name, found.results, found.pictures, ncpus)
    try:
        Path(arguments.html).write_text(page, encoding="utf-8")
    except OSError as error:
        raise PlanctonError(f"{arguments.html}: cannot be written: {error.strerror}") from None
