"""Every program has help, a version, a manual page and completion, without any library."""

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

from commandline.parser import describe_missing_library
from manual.programs import PARSERS, list_completions, list_pages
from plancton import __version__
from tests.support.bash_completion import complete

ROOT = Path(__file__).parents[3]


def list_scripts() -> dict[str, str]:
    """Return the programs that the distribution installs, with module and function."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options.entry_points"]["console_scripts"].strip().splitlines()
    return dict(line.split(" = ") for line in lines)


SCRIPTS = list_scripts()


def run_bare(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a program on a Python that has the standard library alone."""
    module, function = SCRIPTS[program].split(":")
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.argv = {[program, *words]!r}; "
        f"from {module} import {function} as run; sys.exit(run())"
    )
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], env={"HOME": "/nonexistent"}, cwd="/",
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("program", SCRIPTS)
def test_help_needs_neither_library_nor_daemon(program: str) -> None:
    done = run_bare(program, "--help")

    told = done.stdout + done.stderr
    # these of HTCondor's show their usage for all that they do not know
    fails = ("condor_config_val", "condor_prio", "condor_wait")
    assert done.returncode == (1 if program in fails else 0), told
    assert re.match(rf"\n?us(ag)?e: {program.replace('thyme_', 'thyme-')}", told, re.I)


def get_name(program: str) -> str:
    """Return what a program of ours calls itself."""
    return {"planctonctl": "plancton", "thyme_worker": "thyme-worker"}.get(program, program)


@pytest.mark.parametrize("program", sorted(set(SCRIPTS) - {"condor_wait", "condor_submit"}))
def test_the_version_needs_neither_library_nor_daemon(program: str) -> None:
    done = run_bare(program, "--version")

    assert (done.returncode, done.stderr) == (0, "")
    if program.startswith("condor_"):
        assert done.stdout.startswith("$CondorVersion: ")
    else:
        # the distribution's metadata may lie beside the sources
        known = [__version__, *(["(not installed)"] if program != "planctonctl" else [])]
        assert done.stdout in [f"{get_name(program)} {each}\n" for each in known]


@pytest.mark.parametrize(
    "program", sorted(each for each in SCRIPTS if not each.startswith("condor_"))
)
def test_an_installed_program_says_its_version(program: str) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / program), "--version"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(rf"{get_name(program)} \d+\.\d+\.\d+[\w.]*\n", done.stdout)


@pytest.mark.parametrize(
    ("program", "words", "library", "extra"),
    [
        ("thyme-schedd", ["--spool", "/nonexistent", "--url", "sqlite:////x"], "classad2", "vobox"),
        ("plancton-demo-ce", ["--dir", "/nonexistent"], "cryptography", "demo_ce"),
        ("planctonctl", ["validate", "/nonexistent"], "jinja2", "node"),
        ("plancton-bootstrap", ["/nonexistent", "--confdir", "/proc/1/x"], "", ""),
        ("thyme-admin", ["status", "--url", "amqp://127.0.0.1:1"], "pika", "worker"),
        ("thyme-worker", ["--url", "amqp://127.0.0.1:1"], "pika", "worker"),
    ],
)
def test_a_missing_library_is_one_line_that_names_the_extra(
    program: str, words: list[str], library: str, extra: str
) -> None:
    done = run_bare(program, *words)

    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    if extra:
        missing = ModuleNotFoundError(name=library)
        assert done.stderr.endswith(f"{program}: {describe_missing_library(missing, extra)}\n")


def test_what_is_said_of_a_missing_library() -> None:
    assert describe_missing_library(ModuleNotFoundError(name="classad2.x"), "vobox") == (
        "the Python library 'classad2' is not installed; "
        "install plancton-grid with the extra `vobox`, which brings it"
    )


def test_every_program_has_a_page_and_completion() -> None:
    programs = set(SCRIPTS) - {"thyme_worker"}  # the name of 2017
    assert {f"{name}.1" for name in programs} == set(list_pages())
    assert programs == set(list_completions())


@pytest.mark.needs("man")
@pytest.mark.parametrize("name", sorted(list_pages()))
def test_man_renders_the_page_without_a_warning(name: str, tmp_path: Path) -> None:
    page = tmp_path / name
    page.write_text(list_pages()[name])

    done = subprocess.run(
        ["man", "--warnings=w", "--local-file", str(page)], capture_output=True, text=True,
        env={"PATH": "/usr/bin:/bin", "MANWIDTH": "80", "LC_ALL": "C.UTF-8"}, timeout=60,
        check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    program = name.removesuffix(".1")
    assert re.search(rf"^NAME\n +{program} +- +\w", done.stdout, re.M)
    assert "SYNOPSIS\n" in done.stdout


@pytest.mark.parametrize("name", PARSERS)
def test_the_page_has_every_option_and_command_of_the_help(name: str) -> None:
    page = list_pages()[f"{name}.1"].replace("\\-", "-")
    told = PARSERS[name]().format_help()
    options = set(re.findall(r"(?<!\S)--[a-z][\w-]*", told))
    assert "--help" in options
    assert [option for option in sorted(options) if option not in page] == []
    listed = told.partition("\ncommands:")[2] or told.partition("\npositional arguments:")[2]
    commands = re.findall(r"^    ([a-z][\w-]*)", listed, re.M)
    assert bool(commands) is (name in ("planctonctl", "thyme-admin"))
    assert re.findall(r"^\.SS (\S+)$", page, re.M) == commands


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["condor_q", "-bett"], {"-better-analyze"}),
        (["condor_submit", "-dry"], {"-dry-run"}),
        (["thyme-vobox", "he"], {"health"}),
        (["thyme-vobox", "run", "he"], set()),
        (["thyme-admin", "requeue"], {"requeue-dead"}),
        (["thyme-admin", "purge", "--y"], {"--yes"}),
        (["thyme-schedd", "--sp"], {"--spool"}),
        (["plancton-demo-ce", "--max"], {"--max-queued", "--max-running"}),
        (["condor_wait", "-st"], {"-status"}),
    ],
)
def test_bash_completes_every_program(words: list[str], offered: set[str]) -> None:
    assert complete(list_completions()[words[0]], words) == offered


@pytest.mark.parametrize(
    ("program", "words", "said"),
    [
        ("thyme-admin", ["stauts"], "unknown command 'stauts', did you mean 'status'?"),
        ("thyme-admin", ["purge", "x", "--yse"], "arguments: --yse, did you mean '--yes'?"),
        ("thyme-worker", ["--max-job", "x", "--timeuot=3"], "invalid number of jobs"),
        ("thyme-worker", ["--timeuot=3"], "arguments: --timeuot=3, did you mean '--timeout'?"),
        ("thyme-schedd", ["--spool=x", "--nmae=x"], "did you mean '--name'?"),
        ("plancton-demo-ce", ["--agnets=3"], "did you mean '--agents'?"),
        ("plancton-bootstrap", ["--dry-run"], "--dry-run, did you mean '--dryrun'?"),
        ("planctonctl", ["drain", "--wiat"], "arguments: --wiat, did you mean '--wait'?"),
        ("planctonctl", ["drian"], "unknown command 'drian', did you mean 'drain'?"),
        ("planctonctl", ["stop", "--frobnicate"], "unrecognized arguments: --frobnicate; see"),
        ("thyme-vobox", ["helth"], "did you mean 'health'?"),
    ],
)  # fmt: skip
def test_the_nearest_command_or_option_is_named(program: str, words: list[str], said: str) -> None:
    done = run_bare(program, *words)
    assert done.returncode in (2, 6)
    assert said in done.stderr.splitlines()[0]
