"""Who may import whom: read from the code itself, so that no import can slip in.

* plancton knows nothing of jobs: it imports neither thyme nor vobox;
* thyme imports neither plancton nor vobox; vobox may import thyme, not plancton;
* a heavy library has one importer;
* inside a package, a module imports only from its own floor and from lower ones (``LAYERS``);
* the thin condor commands run on an old CE's Python 3.6 without any library.
"""

import ast
import sys
from pathlib import Path

import pytest

from tests.support.import_graph import list_imports

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "plancton",
    "thyme",
    "vobox",
    "telemetry",
    "demo_ce",
    "hostfiles",
    "commandline",
    "joblanes",
)
FORBIDDEN = {
    "plancton": {"thyme", "vobox", "demo", "tests"},
    "thyme": {"plancton", "vobox", "demo", "tests"},
    "vobox": {"plancton", "demo", "tests"},
    "telemetry": {"plancton", "thyme", "vobox", "demo", "demo_ce", "tests"},
    "commandline": {"plancton", "thyme", "vobox", "telemetry", "demo", "demo_ce", "tests"},
    "hostfiles": {"plancton", "thyme", "vobox", "telemetry", "demo", "demo_ce", "tests"},
    "demo_ce": {"plancton", "thyme", "vobox", "demo", "tests"},
    "joblanes": {
        "plancton",
        "thyme",
        "vobox",
        "telemetry",
        "hostfiles",
        "demo",
        "demo_ce",
        "tests",
    },
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


def violations(path: str, source: str) -> list[str]:
    """Return what the file at ``path`` (relative to the repository) must not import, but does."""
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    if path.endswith("/__init__.py"):
        module += ".__init__"
    tops = {name.partition(".")[0] for name in list_imports(source, module)}
    found = [f"{path} imports {top}" for top in tops & FORBIDDEN[path.partition("/")[0]]]
    for library, owner in ONLY_IN.items():
        if library in tops and path != owner:
            found.append(f"{path} imports {library}; only {owner} may")
    return sorted(found)


def layer_violations(path: str, source: str) -> list[str]:
    """List the imports of the file at ``path`` that lead to a higher floor of its package."""
    package = path.partition("/")[0]
    floors = {name: floor for floor, names in enumerate(LAYERS[package]) for name in names}
    module = path.removesuffix(".py").replace("/", ".")
    room = module.split(".")[1]
    if room == "__init__":
        return []
    if room not in floors:
        return [f"{path}: {package}/{room} has no floor in LAYERS"]
    found = set()
    for name in list_imports(source, module):
        top, _, below = name.partition(".")
        target = below.partition(".")[0]
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
    module = path.removesuffix(".py").replace("/", ".")
    found = []
    for name in sorted(list_imports(source, module)):
        top = name.partition(".")[0]
        if top == "__future__":
            found.append(f"{path} imports __future__, whose annotations came with 3.7")
        elif top == "vobox":
            if name != "vobox" and not f"{name}.".startswith(CLIENT):
                found.append(f"{path} imports {name}")
        elif top not in sys.stdlib_module_names:
            found.append(f"{path} imports {name}")
    return found


def files(*patterns: str) -> list[str]:
    return sorted(
        str(path.relative_to(ROOT)) for pattern in patterns for path in ROOT.glob(pattern)
    )


def test_there_is_something_to_check() -> None:
    for package in PACKAGES:
        assert files(f"{package}/**/*.py"), f"no files in {package}"


@pytest.mark.parametrize("path", files(*(f"{package}/**/*.py" for package in PACKAGES)))
def test_a_module_imports_only_what_it_may(path: str) -> None:
    assert violations(path, (ROOT / path).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", files(*(f"{package}/**/*.py" for package in LAYERS)))
def test_a_module_imports_only_from_its_own_floor_and_lower_ones(path: str) -> None:
    assert layer_violations(path, (ROOT / path).read_text(encoding="utf-8")) == []


def test_the_check_finds_an_import_of_a_higher_floor() -> None:
    path = "plancton/node/sensors.py"
    higher = "which is on a higher floor"
    for source in ("from plancton import daemon", "import plancton.daemon.lock"):
        assert layer_violations(path, source) == [f"{path} imports plancton.daemon, {higher}"]
    assert layer_violations(path, "from plancton.model import HostLoad") == []
    assert layer_violations("plancton/new.py", "") == [
        "plancton/new.py: plancton/new has no floor in LAYERS"
    ]


@pytest.mark.parametrize("path", files(*THIN))
def test_a_thin_command_runs_on_a_bare_python_3_6(path: str) -> None:
    assert thin_violations(path, (ROOT / path).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("path", "source", "expected"),
    [
        (
            "plancton/daemon/control_loop.py",
            "import thyme.protocol.job",
            "plancton/daemon/control_loop.py imports thyme",
        ),
        (
            "plancton/daemon/control_loop.py",
            "from vobox import ads",
            "plancton/daemon/control_loop.py imports vobox",
        ),
        ("plancton/x.py", "def f():\n    import thyme", "plancton/x.py imports thyme"),
        (
            "plancton/x.py",
            "importlib.import_module('thyme.worker.cli')",
            "plancton/x.py imports thyme",
        ),
        ("thyme/worker/worker.py", "import plancton", "thyme/worker/worker.py imports plancton"),
        (
            "thyme/worker/worker.py",
            "import vobox.classad.ad",
            "thyme/worker/worker.py imports vobox",
        ),
        (
            "vobox/schedd/main_loop.py",
            "from plancton.model import Pilot",
            "vobox/schedd/main_loop.py imports plancton",
        ),
        (
            "plancton/engine/process/engine.py",
            "from docker import errors",
            "plancton/engine/process/engine.py imports docker; "
            "only plancton/engine/docker/api.py may",
        ),
        (
            "thyme/broker/sqlite/transport.py",
            "import pika",
            "thyme/broker/sqlite/transport.py imports pika; "
            "only thyme/broker/amqp/connection.py may",
        ),
    ],
)
def test_the_check_finds_a_forbidden_import(path: str, source: str, expected: str) -> None:
    assert violations(path, source) == [expected]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("vobox/schedd/main_loop.py", "import thyme.protocol.job"),
        ("plancton/engine/select.py", "from plancton.engine import docker"),
        ("plancton/engine/select.py", "from . import docker"),
        ("plancton/engine/select.py", "from .docker import DockerEngine"),
        ("plancton/engine/docker/api.py", "import docker"),
        ("thyme/broker/__init__.py", "from .sqlite import SqliteTransport"),
    ],
)
def test_the_check_allows_what_is_allowed(path: str, source: str) -> None:
    assert violations(path, source) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pydantic",
        "from vobox import ads",
        "import vobox.commands.query.table",
        "from __future__ import annotations",
        "if (n := 1): pass",
        "def f(a, /): pass",
        "try:\n    pass\nexcept* OSError:\n    pass",
    ],
)
def test_the_check_finds_what_a_thin_command_must_not_do(source: str) -> None:
    assert thin_violations("vobox/client/wait.py", source) != []


@pytest.mark.parametrize(
    "source",
    [
        "import socket, json",
        "from vobox.client.client import main",
        "from vobox.client import wait",
    ],
)
def test_the_check_allows_a_thin_command(source: str) -> None:
    assert thin_violations("vobox/client/wait.py", source) == []
