"""Who may import whom: read from the code itself, so that no import can slip in.

* a package imports only what ``MAY_IMPORT`` says: plancton knows nothing of jobs;
* a heavy library has one importer;
* inside a package, a module imports only from its own floor and from lower ones (``LAYERS``);
* the thin condor commands run on an old CE's Python 3.6 without any library.
"""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_SHARED = ("commandline", "hostfiles", "joblanes")
#: Each package, and which others it may import.
MAY_IMPORT: dict[str, set[str]] = {
    **{name: set() for name in (*_SHARED, "telemetry", "grafana", "compose")},
    "plancton": {*_SHARED, "telemetry"},
    "thyme": {*_SHARED},
    "vobox": {*_SHARED, "telemetry", "thyme"},
    "demo_ce": {"commandline"},
    "demo": {"demo_ce"},
}
ONLY_IN = {
    "docker": "plancton/engine/docker/api.py",
    "influxdb": "telemetry/influx.py",
    "prometheus_client": "telemetry/prometheus.py",
    "pika": "thyme/broker/amqp/connection.py",
}
#: The floors of a package, the lowest first; a name is a subpackage or a module of it.
LAYERS: dict[str, tuple[tuple[str, ...], ...]] = {
    "thyme": (
        ("errors", "privileges"),
        ("protocol",),
        ("broker",),
        ("arguments",),
        ("worker", "admin"),
    ),
    "plancton": (
        ("errors", "paths", "model"),
        ("calendar",),
        ("config",),
        ("node",),
        ("engine",),
        ("policy", "preflight"),
        ("metrics", "day_report"),
        ("daemon", "simulation"),
        ("cli", "install"),
        ("__main__",),
    ),
    "vobox": (
        ("classad", "client"),
        ("jobs",),
        ("ledger",),
        ("files",),
        ("rpc", "workers"),
        ("metrics",),
        ("schedd",),
        ("commands",),
        ("server", "supervisor"),
    ),
}
THIN = ("vobox/__init__.py", "vobox/client/*.py")
#: The only modules of vobox that the condor commands may use.
CLIENT = "vobox.client."


def list_imports(path: str, source: str) -> set[str]:
    """List every module that the file at ``path`` (relative to the repository) imports."""
    package = path.removesuffix(".py").split("/")[:-1]
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            # `from vobox import client` imports vobox.client.
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "attr", getattr(node.func, "id", ""))
            in ("import_module", "__import__")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            found.add(str(node.args[0].value))
    return found


def violations(path: str, source: str) -> list[str]:
    """Return what the file at ``path`` must not import, but does."""
    package = path.partition("/")[0]
    tops = {name.partition(".")[0] for name in list_imports(path, source)}
    forbidden = {*MAY_IMPORT, "tests"} - MAY_IMPORT[package] - {package}
    forbidden |= {library for library, owner in ONLY_IN.items() if path != owner}
    return sorted(f"{path} imports {top}" for top in tops & forbidden)


def layer_violations(path: str, source: str) -> list[str]:
    """List the imports of the file at ``path`` that lead to a higher floor of its package."""
    package, _, below = path.removesuffix(".py").partition("/")
    floors = {name: floor for floor, names in enumerate(LAYERS[package]) for name in names}
    room = below.partition("/")[0]
    if room == "__init__":
        return []
    if room not in floors:
        return [f"{path}: {package}/{room} has no floor in LAYERS"]
    found = set()
    for name in list_imports(path, source):
        top, _, inside = name.partition(".")
        target = inside.partition(".")[0]
        if top == package and floors.get(target, -1) > floors[room]:
            found.add(f"{path} imports {package}.{target}, which is on a higher floor")
    return sorted(found)


def thin_violations(path: str, source: str) -> list[str]:
    """Return what keeps a thin command from running on a bare Python 3.6."""
    try:
        # mode="exec" with feature_version checks the grammar of that Python.
        ast.parse(source, filename=path, feature_version=(3, 6))
    except SyntaxError as error:
        return [f"{path}:{error.lineno}: not Python 3.6: {error.msg}"]
    return [
        f"{path} imports {name}"
        for name in sorted(list_imports(path, source))
        # annotations of __future__ came with 3.7
        if name.partition(".")[0] not in sys.stdlib_module_names - {"__future__"}
        and name != "vobox"
        and not f"{name}.".startswith(CLIENT)
    ]


def files(*patterns: str) -> list[str]:
    return sorted(
        str(path.relative_to(ROOT)) for pattern in patterns for path in ROOT.glob(pattern)
    )


def check(rule, paths: list[str]) -> None:
    assert paths
    found = [rule(path, (ROOT / path).read_text(encoding="utf-8")) for path in paths]
    assert [one for each in found for one in each] == []


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_what_it_may(package: str) -> None:
    check(violations, files(f"{package}/**/*.py"))


@pytest.mark.parametrize("package", LAYERS)
def test_a_module_imports_only_from_its_own_floor_and_lower_ones(package: str) -> None:
    check(layer_violations, files(f"{package}/**/*.py"))


def test_the_thin_commands_run_on_a_bare_python_3_6() -> None:
    check(thin_violations, files(*THIN))


@pytest.mark.parametrize(
    ("path", "source", "imported"),
    [
        ("plancton/daemon/control_loop.py", "import thyme.protocol.job", "thyme"),
        ("plancton/x.py", "def f():\n    from vobox import ads", "vobox"),
        ("plancton/x.py", "importlib.import_module('thyme.worker.cli')", "thyme"),
        ("thyme/worker/worker.py", "import vobox.classad.ad", "vobox"),
        ("vobox/schedd/main_loop.py", "from plancton.model import Pilot", "plancton"),
        ("vobox/schedd/main_loop.py", "import thyme.protocol.job", None),
        ("plancton/engine/process/engine.py", "from docker import errors", "docker"),
        ("plancton/engine/docker/api.py", "import docker", None),
        ("plancton/engine/select.py", "from . import docker", None),
        ("plancton/engine/select.py", "from .docker import DockerEngine", None),
    ],
)
def test_the_check_finds_a_forbidden_import(path: str, source: str, imported: str | None) -> None:
    assert violations(path, source) == ([f"{path} imports {imported}"] if imported else [])


def test_the_check_finds_an_import_of_a_higher_floor() -> None:
    path = "plancton/node/sensors.py"
    higher = "which is on a higher floor"
    for source in ("from plancton import daemon", "import plancton.daemon.lock"):
        assert layer_violations(path, source) == [f"{path} imports plancton.daemon, {higher}"]
    assert layer_violations(path, "from plancton.model import HostLoad") == []
    assert layer_violations("plancton/new.py", "") == [
        "plancton/new.py: plancton/new has no floor in LAYERS"
    ]


@pytest.mark.parametrize(
    ("source", "is_thin"),
    [
        ("import pydantic", False),
        ("from vobox import ads", False),
        ("import vobox.commands.query.table", False),
        ("from __future__ import annotations", False),
        ("if (n := 1): pass", False),
        ("def f(a, /): pass", False),
        ("try:\n    pass\nexcept* OSError:\n    pass", False),
        ("import socket, json", True),
        ("from vobox.client.client import main", True),
        ("from vobox.client import wait", True),
    ],
)
def test_the_check_finds_what_a_thin_command_must_not_do(source: str, is_thin: bool) -> None:
    assert (thin_violations("vobox/client/wait.py", source) == []) is is_thin
