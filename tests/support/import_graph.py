"""The import graph of the packages: what imports what, in which layers.

    python -m tests.support.import_graph [PACKAGE...]

A node of the graph is a file or folder directly below a package. Its layer is the length of the
longest chain of imports below it. An import back up is one that must be removed to make the graph
free of cycles.
"""

import argparse
import ast
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("plancton", "thyme", "vobox", "telemetry", "demo_ce", "demo", "compose", "grafana")
#: An import from one node to another.
Arrow = tuple[str, str]


@dataclass(frozen=True)
class Graph:
    """The nodes with their layers (0 is the lowest), and the imports between them."""

    layers: Mapping[str, int]
    arrows: frozenset[Arrow]
    back_up: frozenset[Arrow]

    def summary(self) -> str:
        """One line of numbers."""
        count = max(self.layers.values(), default=-1) + 1
        return (
            f"{len(self.layers)} nodes, {count} layers, {len(self.arrows)} arrows, "
            f"{len(self.back_up)} of them back up"
        )


def list_imports(source: str, module: str) -> set[str]:
    """List every module that ``source`` imports anywhere, being the module ``module``."""
    package = module.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            found.add(base)
            # `from vobox import client` imports vobox.client.
            found |= {f"{base}.{alias.name}" for alias in node.names}
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "attr", getattr(node.func, "id", ""))
            in ("import_module", "__import__")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            found.add(str(node.args[0].value))
    return found


def build_graph(sources: Mapping[str, str], package: str = "") -> Graph:
    """Build the graph of the nodes below ``package``, or of the packages themselves if empty.

    ``sources`` maps paths relative to the repository to the text of the files.
    """
    depth = 1 if package else 0
    modules = {
        path.removesuffix(".py").replace("/", "."): text
        for path, text in sources.items()
        if path.endswith(".py") and path.startswith(f"{package}/" if package else "")
    }
    names = {module: module.split(".")[depth] for module in modules}
    if package:  # the package's own __init__ is no node
        names = {module: name for module, name in names.items() if name != "__init__"}
    nodes = set(names.values())
    arrows = set()
    for module, name in names.items():
        for imported in list_imports(modules[module], module):
            parts = imported.split(".")
            target = parts[depth] if len(parts) > depth else ""
            inside = not package or parts[0] == package
            if inside and target in nodes and target != name:
                arrows.add((name, target))
    back_up = find_back_arrows(nodes, arrows)
    return Graph(measure_layers(nodes, arrows - back_up), frozenset(arrows), frozenset(back_up))


def find_back_arrows(nodes: set[str], arrows: set[Arrow]) -> set[Arrow]:
    """Find few arrows whose removal leaves no cycle (the heuristic of Eades, Lin and Smyth)."""
    left, rest = set(nodes), set(arrows)
    first: list[str] = []
    last: list[str] = []
    while left:
        out = {node: sum(source == node for source, _ in rest) for node in left}
        into = {node: sum(target == node for _, target in rest) for node in left}
        sinks = sorted(node for node in left if not out[node])
        sources = sorted(node for node in left if not into[node])
        if sinks:
            node = sinks[0]
            last.insert(0, node)
        else:
            node = sources[0] if sources else max(sorted(left), key=lambda n: out[n] - into[n])
            first.append(node)
        left.remove(node)
        rest = {arrow for arrow in rest if node not in arrow}
    place = {node: at for at, node in enumerate(first + last)}
    return {(source, target) for source, target in arrows if place[source] > place[target]}


def measure_layers(nodes: set[str], arrows: set[Arrow]) -> dict[str, int]:
    """Measure the longest chain of imports below each node; the arrows have no cycle."""
    layers: dict[str, int] = {}

    def measure(node: str) -> int:
        if node not in layers:
            below = [measure(target) + 1 for source, target in arrows if source == node]
            layers[node] = max(below, default=0)
        return layers[node]

    for node in nodes:
        measure(node)
    return layers


def read_sources() -> dict[str, str]:
    """Read the Python files of the packages."""
    found = (path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
    return {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in found}


def render(title: str, graph: Graph) -> str:
    """Render one graph: its numbers, its layers from the top, and the imports back up."""
    lines = [f"{title}: {graph.summary()}"]
    for layer in range(max(graph.layers.values(), default=-1), -1, -1):
        members = sorted(node for node, at in graph.layers.items() if at == layer)
        lines.append(f"  {layer:2}  {'  '.join(members)}")
    lines += [f"  back up: {source} -> {target}" for source, target in sorted(graph.back_up)]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Print the graphs; returns the exit code."""
    parser = argparse.ArgumentParser(prog="import_graph", description="Print the import graph.")
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help="only these packages")
    options = parser.parse_args(arguments)
    sources = read_sources()
    if not options.packages:
        print(render("packages", build_graph(sources)))
    for package in options.packages or PACKAGES:
        print(render(package, build_graph(sources, package)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
