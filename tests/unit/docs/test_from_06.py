"""The page for people who come from Plancton 0.6 says what the programs do."""

import re
from pathlib import Path

import yaml

from plancton.config.model import Config
from plancton.errors import ExitCode
from plancton.metrics.series import DAEMON
from plancton.paths import Paths
from thyme.worker.cli import make_parser

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/from-0.6.md").read_text()
#: The keys of 0.6, from its own sample configuration.
KEYS = yaml.safe_load((ROOT / "examples/plancton/config-2017.yaml").read_text())


def row(begin: str) -> str:
    """Return what the page says of now, in the row whose 0.6 begins so."""
    (found,) = re.findall(rf"^\| {re.escape(begin)}[^|]*\| ([^|]*) \|", PAGE, re.M)
    return found


def test_the_exit_codes_are_those_of_planctonctl() -> None:
    assert row("`start` while it runs").startswith(f"{ExitCode.ALREADY_RUNNING:d}, ")
    assert row("`status`: exit code 1") == f"{ExitCode.NOT_RUNNING:d}"
    assert row("unknown command or option") == f"{ExitCode.USAGE:d}"
    assert row("without `config.yaml`").startswith(f"exit code {ExitCode.CONFIG:d}:")


def test_all_keys_of_06_are_keys_still() -> None:
    assert len(KEYS) == 20 and set(KEYS) <= set(Config.model_fields)


def test_the_example_is_a_configuration() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)

    config = Config.model_validate(yaml.safe_load(example))

    assert config.binds == ("/cvmfs:/cvmfs", "/data:/data:rw")


def test_the_workers_short_options_are_those_of_2017() -> None:
    options = make_parser().parse_args(["-w", "/tmp", "-t", "10", "-m", "16", "-q", "jobs"])

    assert (options.workdir, options.timeout, options.max_backoff, options.queue) == (
        Path("/tmp"), 10.0, 16.0, "jobs",
    )  # fmt: skip


def test_the_pid_file_is_where_06_had_it() -> None:
    assert Paths.choose(user=True).pidfile == Path("~/.plancton/run/plancton.pid").expanduser()
    assert "`~/.plancton/{conf,run,log}` with `run/plancton.pid`" in PAGE


def test_the_daemons_containers_are_a_float_as_in_06() -> None:
    (containers,) = [one for one in DAEMON.fields if one.name == "containers"]
    assert containers.type == "float"
